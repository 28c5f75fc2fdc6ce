# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The robot stops, whatever happens: cancel, time limit, signals, a crash, an agent or a guard that hangs."""

from __future__ import annotations

from collections.abc import Iterator
import json
import os
from pathlib import Path
import signal
import sys
from typing import Any

from action_msgs.msg import GoalStatus
from agent_world import agent_process, TaskClient, TaskGoal, TOOLS, World
from builtin_interfaces.msg import Duration
from processes import Process
import pytest
from waiting import wait_for

from tinychat_ros.interfaces import TaskStep

pytestmark = pytest.mark.slow

DRIVE = [{'calls': [['drive', {'linear': {'x': 0.25}, 'duration': 20.0}]]}]
GO = [{'calls': [['go', {'max_steps': 200}]]}]


class Drive:
    """An agent in a process of its own, whose robot moves."""

    def __init__(self, world: World) -> None:
        """Start the agent."""
        self.world = world
        self.agent = agent_process(world.namespace)
        self.client = TaskClient(world.namespace)
        self.seen = 0

    def begin(self, script: list[Any], **fields: Any) -> TaskGoal:
        """Send a task and wait until the robot moves."""
        self.seen = len(self.world.robot.output)
        goal = self.client.send(script, **fields)
        wait_for(lambda: {'cmd_vel', 'go'} & {event[0] for event in self.events}, 30.0)
        return goal

    @property
    def events(self) -> list[list[Any]]:
        """Return what has reached the robot since the task began."""
        return self.world.events(self.seen)

    def has_stopped(self) -> None:
        """Wait for the stop message; it is the last one, and the only one."""
        wait_for(lambda: ['cmd_vel', 0.0] in self.events, 30.0)
        assert [event for event in self.events if event != ['cmd_vel', 0.25]] == [['cmd_vel', 0.0]]
        assert self.events[-1] == ['cmd_vel', 0.0]

    def has_canceled(self) -> None:
        """Wait for the end of the robot's action."""
        wait_for(lambda: len(self.events) == 2, 30.0)
        assert self.events == [['go', 'begin', 200], ['go', 'canceled']]

    @property
    def guard(self) -> int:
        """Return the process of the stop guard."""
        (child,) = Path(f'/proc/{self.agent.process.pid}/task/{self.agent.process.pid}/children').read_text().split()
        return int(child)


@pytest.fixture
def drive(world: World) -> Iterator[Drive]:
    """Return an agent."""
    drive = Drive(world)
    yield drive
    drive.client.close()
    if drive.agent.process.poll() is None:
        drive.agent.send_signal(signal.SIGCONT)
        drive.agent.send_signal(signal.SIGTERM)
    drive.agent.ends()


def test_a_cancel_stops_it(drive: Drive) -> None:
    goal = drive.begin(DRIVE)
    goal.cancel()
    status, result = goal.result()
    assert (status, result.finish_reason) == (GoalStatus.STATUS_CANCELED, 'canceled')
    assert result.steps[0].status == TaskStep.FAILED
    drive.has_stopped()
    goal = drive.begin(GO)
    goal.cancel()
    assert goal.result()[0] == GoalStatus.STATUS_CANCELED
    drive.has_canceled()


def test_the_time_limit_stops_it(drive: Drive) -> None:
    status, result = drive.begin(DRIVE, time_limit=Duration(sec=5)).result()
    assert (status, result.error_code) == (GoalStatus.STATUS_ABORTED, 4)
    drive.has_stopped()
    status, result = drive.begin(GO, time_limit=Duration(sec=5)).result()
    assert (status, result.error_code) == (GoalStatus.STATUS_ABORTED, 4)
    drive.has_canceled()


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it(drive: Drive, number: signal.Signals) -> None:
    goal = drive.begin(DRIVE)
    drive.agent.send_signal(number)
    status, result = goal.result()
    assert (status, result.error_code, result.error_msg) == (GoalStatus.STATUS_ABORTED, 5, 'the node is shutting down')
    drive.has_stopped()
    assert drive.agent.ends() == 0


@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGHUP])
def test_a_crash_stops_it(drive: Drive, number: signal.Signals) -> None:
    drive.begin(DRIVE)
    drive.agent.send_signal(number)
    drive.has_stopped()


def test_a_crash_cancels_the_action(drive: Drive) -> None:
    drive.begin(GO)
    drive.agent.send_signal(signal.SIGKILL)
    drive.has_canceled()


def test_an_agent_that_hangs_is_stopped_and_does_not_move_again(drive: Drive) -> None:
    goal = drive.begin(DRIVE)
    drive.agent.send_signal(signal.SIGSTOP)
    drive.has_stopped()
    drive.agent.send_signal(signal.SIGCONT)
    _, result = goal.result()
    assert result.steps[0].status == TaskStep.FAILED and 'interrupted' in result.steps[0].result
    wait_for(lambda: drive.events.count(['cmd_vel', 0.0]) == 2, 30.0)  # the guard's, then the agent's
    assert {json.dumps(event) for event in drive.events} == {'["cmd_vel", 0.25]', '["cmd_vel", 0.0]'}
    assert drive.events[-2:] == [['cmd_vel', 0.0]] * 2


def test_without_its_guard_nothing_moves(drive: Drive) -> None:
    goal = drive.begin(DRIVE)
    os.kill(drive.guard, signal.SIGKILL)
    _, result = goal.result()
    assert result.steps[0].status == TaskStep.FAILED and 'interrupted' in result.steps[0].result
    drive.has_stopped()
    goal = drive.begin([{'calls': [['drive', {'linear': {'x': 0.25}, 'duration': 0.2}]]}])  # with another guard
    assert goal.result()[1].steps[0].status == TaskStep.SUCCEEDED
    drive.has_stopped()


def test_a_tool_that_nobody_serves_is_said(drive: Drive) -> None:
    drive.agent.says('nobody serves these tools yet: missing (')


def test_the_guard_ends_with_the_agent(drive: Drive) -> None:
    guard = drive.guard
    drive.agent.send_signal(signal.SIGKILL)
    drive.agent.ends()
    wait_for(lambda: not Path(f'/proc/{guard}').exists() or 'Z' in Path(f'/proc/{guard}/stat').read_text())


@pytest.mark.parametrize(('arguments', 'reason'), [
    ([], 'tools_file: name the YAML file'), (['-p', 'tools_file:=/nowhere.yaml'], '/nowhere.yaml is missing'),
    (['-p', 'tools_file:=/nowhere.yaml', '-p', 'max_steps:=0'], 'max_steps'),
    (['-p', f'tools_file:={TOOLS}', '-p', 'chat:=a b'], 'chat: '),
    (['-p', 'tools_file:=/nowhere.yaml', '-p', 'dry_run:=perhaps'], 'dry_run must be true or false'),
])
def test_what_is_wrong_at_start_is_one_line(arguments: list[str], reason: str) -> None:
    process = Process(sys.executable, '-m', 'tinychat_ros.agent.agent_node', '--ros-args', *arguments)
    assert process.ends() == 2
    assert reason in process.output and 'Traceback' not in process.output
    assert len(process.output.splitlines()) == 1
