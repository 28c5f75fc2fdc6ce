# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Faults while four goals run: each goal has its own end, and the others do not notice."""

from __future__ import annotations

from collections.abc import Callable
import signal
import sys

from action_msgs.msg import GoalStatus
from builtin_interfaces.msg import Duration, Time
from processes import Process
import pytest
from rclpy.qos import QoSProfile
from robot import Goal, Robot
from rosgraph_msgs.msg import Clock
from scripted_engine import ScriptedEngine
from std_msgs.msg import String
from test_faults_bytes import serialized
from test_faults_stalled_subscriber import SUBSCRIBER
from waiting import wait_for

from tinychat_ros.interfaces import Chat

PLACES = 4
SUCCEEDED, ABORTED = GoalStatus.STATUS_SUCCEEDED, GoalStatus.STATUS_ABORTED


@pytest.fixture
def engine() -> ScriptedEngine:
    engine = ScriptedEngine(context_length=3000)
    engine.parallel = PLACES
    engine.words, engine.is_endless = ['word '], True
    engine.delay = 0.001
    return engine


def running(robot: Robot, count: int = PLACES, new_tokens: int = 300, **fields: object) -> list[Goal]:
    """Return goals in the middle of their answers."""
    goals = [robot.send(f'goal {i}', max_new_tokens=new_tokens + i, **fields) for i in range(count)]
    for goal in goals:
        goal.await_text()
    return goals


def all_succeed(robot: Robot, goals: list[Goal], new_tokens: int = 300) -> None:
    """Check that each goal gets its whole answer, every piece once and in order."""
    for i, goal in enumerate(goals):
        status, result = goal.result()
        assert (status, result.new_tokens) == (SUCCEEDED, new_tokens + i)
        pieces = robot.pieces(goal.handle.goal_id)
        assert [piece.index for piece in pieces] == [*range(len(pieces))]
        assert ''.join(piece.delta for piece in pieces) == result.text == 'word ' * result.new_tokens


@pytest.mark.parametrize('jump', [5, 1_000_000])
def test_a_clock_that_jumps(start: Callable[..., Robot], engine: ScriptedEngine, jump: int) -> None:
    robot = start(use_sim_time=True)
    clock = robot.client_node.create_publisher(Clock, '/clock', QoSProfile(depth=10))

    def set_clock(seconds: int) -> None:
        clock.publish(Clock(clock=Time(sec=seconds)))
        wait_for(lambda: robot.node.get_clock().now().nanoseconds == seconds * 10**9)

    wait_for(clock.get_subscription_count)
    set_clock(1000)
    goals = running(robot, time_limit=Duration(sec=3600))
    set_clock(jump)
    all_succeed(robot, goals)
    assert {robot.pieces(goal.handle.goal_id)[-1].header.stamp.sec for goal in goals} == {jump}


def test_a_subscriber_that_stands_still(start: Callable[..., Robot], engine: ScriptedEngine) -> None:
    robot = start(publish_period=0.0)
    subscriber = Process(sys.executable, '-c', SUBSCRIBER, robot.node.get_namespace())
    try:
        topic = f'{robot.node.get_namespace()}/tinychat/tokens'
        wait_for(lambda: robot.node.count_subscribers(topic) == 2)
        goals = running(robot)
        subscriber.says('100\n')
        subscriber.send_signal(signal.SIGSTOP)
        all_succeed(robot, goals)
    finally:
        subscriber.process.kill()
        subscriber.ends()


def test_parameters_that_change(robot: Robot) -> None:
    goals = running(robot)
    for name, value in (('max_new_tokens', 3), ('sampling.seed', 7), ('publish_period', 10.0), ('time_limit', 0.001),
                        ('busy_policy', 'reject')):
        assert robot.set_parameter(name, value) == ''
    assert not robot.send('fifth').handle.accepted
    all_succeed(robot, goals)


def test_a_prompt_that_is_too_long(robot: Robot) -> None:
    goals = running(robot, PLACES - 1)
    status, result = robot.send('All the world is a stage. ' * 1000).result()
    assert (status, result.error_code) == (ABORTED, Chat.Result.PROMPT_TOO_LONG)
    all_succeed(robot, goals)


def test_bytes_that_are_no_text(robot: Robot, engine: ScriptedEngine) -> None:
    publisher = robot.client_node.create_publisher(String, 'tinychat/prompt', QoSProfile(depth=10))
    wait_for(publisher.get_subscription_count)
    goals = running(robot, PLACES - 1)
    publisher.publish(serialized(b'caf\xe9'))
    wait_for(lambda: len(engine.dialogues) == PLACES)
    assert engine.dialogues[-1][-1]['content'] == 'caf\N{REPLACEMENT CHARACTER}'
    all_succeed(robot, goals)


def test_a_client_that_disappears(start: Callable[..., Robot], engine: ScriptedEngine) -> None:
    robot = start(on_client_lost='cancel')
    goals = running(robot, new_tokens=2000)
    robot.destroy_client()
    wait_for(lambda: sum(token.last for token in robot.tokens) == PLACES)
    ends = {bytes(token.goal_id.uuid): token.error_code for token in robot.tokens if token.last}
    assert ends == {bytes(goal.handle.goal_id.uuid): Chat.Result.CLIENT_LOST for goal in goals}
