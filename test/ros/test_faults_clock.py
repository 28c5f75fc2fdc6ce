# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A simulated clock that jumps moves the stamps, and neither time limits nor durations."""

from __future__ import annotations

from collections.abc import Callable

from action_msgs.msg import GoalStatus
from builtin_interfaces.msg import Duration, Time
import pytest
from rclpy.qos import QoSProfile
from robot import Robot
from rosgraph_msgs.msg import Clock
from scripted_engine import ScriptedEngine
from waiting import wait_for

from tinychat_ros.interfaces import Chat

START = 1000


@pytest.mark.parametrize('jump', [5, 1_000_000])
def test_in_mid_answer(start: Callable[..., Robot], engine: ScriptedEngine, jump: int) -> None:
    robot = start(use_sim_time=True, publish_period=0.0)
    engine.words, engine.delay, engine.stands_at = ['word '] * 100, 0.01, 3
    clock = robot.client_node.create_publisher(Clock, '/clock', QoSProfile(depth=10))

    def set_clock(seconds: int) -> None:
        clock.publish(Clock(clock=Time(sec=seconds)))
        wait_for(lambda: robot.node.get_clock().now().nanoseconds == seconds * 10**9)

    wait_for(clock.get_subscription_count)
    set_clock(START)
    goal = robot.send(max_new_tokens=60, time_limit=Duration(sec=60))
    goal.await_text()
    set_clock(jump)
    engine.stands_at = None
    status, result = goal.result()
    assert (status, result.new_tokens) == (GoalStatus.STATUS_SUCCEEDED, 60)
    assert 0 < result.tokens_per_second < 200
    stamps = [piece.header.stamp.sec for piece in robot.pieces(goal.handle.goal_id)]
    assert (stamps[0], stamps[-1]) == (START, jump)


def test_a_clock_that_stands_still_stops_no_time_limit(start: Callable[..., Robot],
                                                       engine: ScriptedEngine) -> None:
    robot = start(use_sim_time=True)
    engine.prefill_delay = 60.0
    result = robot.send(time_limit=Duration(nanosec=100_000_000)).result()[1]
    assert result.error_code == Chat.Result.TIME_LIMIT
