# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What ends a goal ABORTED says so in its error code, and the next goal is served."""

from __future__ import annotations

from typing import Any

from action_msgs.msg import GoalStatus
from builtin_interfaces.msg import Duration
from robot import Robot
from scripted_engine import ScriptedEngine
from waiting import wait_for

from tinychat_ros.interfaces import Chat

ABORTED = GoalStatus.STATUS_ABORTED
SECONDS_0_2 = Duration(nanosec=200_000_000)


def check_last(robot: Robot, goal: Any, code: int) -> None:
    """Check that the last message of a goal has its code."""
    last = robot.pieces(goal.handle.goal_id)[-1]
    assert (last.last, last.finish_reason, last.error_code) == (True, 'aborted', code)


def test_a_prompt_beyond_the_context(robot: Robot) -> None:
    goal = robot.send('x' * 128)
    status, result = goal.result()
    assert (status, result.finish_reason) == (ABORTED, 'aborted')
    assert result.error_code == Chat.Result.PROMPT_TOO_LONG
    assert 'the prompt has 131 tokens' in result.error_msg
    check_last(robot, goal, Chat.Result.PROMPT_TOO_LONG)
    assert robot.send().result()[0] == GoalStatus.STATUS_SUCCEEDED


def test_a_decoder_that_breaks(robot: Robot, engine: ScriptedEngine) -> None:
    engine.fails_at = 1
    goal = robot.send()
    status, result = goal.result()
    assert (status, result.error_code, result.text) == (ABORTED, Chat.Result.BACKEND_FAILED, 'Robots ')
    assert 'the decoder broke' in result.error_msg
    check_last(robot, goal, Chat.Result.BACKEND_FAILED)
    engine.fails_at = None
    assert robot.send().result()[0] == GoalStatus.STATUS_SUCCEEDED


def test_no_memory(robot: Robot, engine: ScriptedEngine) -> None:
    def fail(*_: Any) -> None:
        raise MemoryError

    engine.prefill = fail  # type: ignore[method-assign]
    assert robot.send().result()[1].error_code == Chat.Result.OUT_OF_MEMORY


def test_time_limit_of_a_running_goal(robot: Robot, engine: ScriptedEngine) -> None:
    engine.words, engine.stands_at = ['word '] * 1000, 3
    status, result = robot.send(time_limit=Duration(sec=1)).result()  # the text comes before
    assert (status, result.error_code) == (ABORTED, Chat.Result.TIME_LIMIT)
    assert result.text == 'word ' * result.new_tokens
    assert result.new_tokens > 0


def test_time_limit_in_a_prefill(robot: Robot, engine: ScriptedEngine) -> None:
    engine.prefill_delay = 60.0
    status, result = robot.send(time_limit=SECONDS_0_2).result()
    assert (status, result.error_code, result.text) == (ABORTED, Chat.Result.TIME_LIMIT, '')


def test_time_limit_of_a_waiting_goal(robot: Robot, engine: ScriptedEngine) -> None:
    engine.prefill_delay = 60.0
    running = robot.send()
    wait_for(lambda: engine.prefilled)
    status, result = robot.send(time_limit=SECONDS_0_2).result()
    assert (status, result.error_code) == (ABORTED, Chat.Result.TIME_LIMIT)
    assert result.queue_time >= 0.2
    running.cancel()
    running.result()


def test_the_time_limit_of_the_parameter(start: Any, engine: ScriptedEngine) -> None:
    engine.prefill_delay = 60.0
    assert start(time_limit=0.1).send().result()[1].error_code == Chat.Result.TIME_LIMIT


def test_the_end_of_the_node_ends_running_and_waiting_goals(robot: Robot, engine: ScriptedEngine) -> None:
    engine.words, engine.stands_at = ['word '] * 1000, 3
    running = robot.send()
    running.await_text()
    waiting = robot.send()
    assert waiting.handle.accepted
    robot.node.end()
    for goal in (running, waiting):
        status, result = goal.result()
        assert (status, result.error_code) == (ABORTED, Chat.Result.DEACTIVATED)
    assert running.result()[1].text.startswith('word ')
    assert not robot.send().handle.accepted
