# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What ends a goal ABORTED says so in its error code, and the next goal is served."""

from __future__ import annotations

from action_msgs.msg import GoalStatus
from builtin_interfaces.msg import Duration
from conftest import wait_for
import pytest

from tinychat_ros.interfaces import Chat


@pytest.mark.parametrize(('prompt', 'code', 'text'), [
    ('long', Chat.Result.PROMPT_TOO_LONG, ''),
    ('fail', Chat.Result.BACKEND_FAILED, 'Robots '),
])
def test_what_the_engine_refuses(robot, prompt, code, text) -> None:
    goal = robot.send(prompt)
    status, result = goal.result()
    assert (status, result.finish_reason, result.error_code) == (GoalStatus.STATUS_ABORTED, 'aborted', code)
    assert result.text == text
    assert result.error_msg
    last = robot.pieces(goal.handle.goal_id)[-1]
    assert (last.last, last.error_code) == (True, code)
    assert robot.send().result()[0] == GoalStatus.STATUS_SUCCEEDED


def test_time_limit_of_a_running_goal(robot) -> None:
    robot.engine.words, robot.engine.delay = ['word '] * 1000, 0.02
    status, result = robot.send(time_limit=Duration(nanosec=300_000_000)).result()
    assert (status, result.error_code) == (GoalStatus.STATUS_ABORTED, Chat.Result.TIME_LIMIT)
    assert result.text


def test_time_limit_of_a_waiting_goal(robot) -> None:
    robot.engine.delay = 60.0
    running = robot.send()
    wait_for(lambda: robot.engine.asked)
    status, result = robot.send(time_limit=Duration(nanosec=100_000_000)).result()
    assert (status, result.error_code) == (GoalStatus.STATUS_ABORTED, Chat.Result.TIME_LIMIT)
    running.handle.cancel_goal_async()
    running.result()


def test_shutdown_ends_running_and_waiting_goals(robot) -> None:
    robot.engine.words, robot.engine.delay = ['word '] * 1000, 0.02
    running = robot.send()
    wait_for(lambda: any(feedback.delta for feedback in running.feedback))
    waiting = robot.send()
    assert waiting.handle.accepted
    robot.node.stop()
    for goal in (running, waiting):
        status, result = goal.result()
        assert (status, result.error_code) == (GoalStatus.STATUS_ABORTED, Chat.Result.DEACTIVATED)
    assert running.result()[1].text.startswith('word ')
    assert not robot.send().handle.accepted
