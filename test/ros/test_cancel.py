# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A canceled goal ends CANCELED with its partial text, at whatever moment the cancel comes."""

from __future__ import annotations

from action_msgs.msg import GoalStatus
from action_msgs.srv import CancelGoal
from robot import Robot
from scripted_engine import ScriptedEngine
from waiting import wait_for


def test_in_mid_answer(robot: Robot, engine: ScriptedEngine) -> None:
    engine.words, engine.stands_at = ['word '] * 1000, 3
    goal = robot.send()
    goal.await_text()
    goal.cancel()
    status, result = goal.result()
    assert status == GoalStatus.STATUS_CANCELED
    assert (result.finish_reason, result.error_code) == ('canceled', 0)
    assert result.text == 'word ' * result.new_tokens
    assert 0 < result.new_tokens < 1000
    assert robot.pieces(goal.handle.goal_id)[-1].finish_reason == 'canceled'


def test_before_the_first_token(robot: Robot, engine: ScriptedEngine) -> None:
    engine.prefill_delay = 60.0
    goal = robot.send()
    wait_for(lambda: goal.feedback)
    goal.cancel()
    status, result = goal.result()
    assert (status, result.text, result.new_tokens) == (GoalStatus.STATUS_CANCELED, '', 0)


def test_while_waiting(robot: Robot, engine: ScriptedEngine) -> None:
    engine.prefill_delay = 60.0
    running = robot.send('first')
    wait_for(lambda: engine.prefilled)
    waiting = robot.send('second')
    assert waiting.handle.accepted
    waiting.cancel()
    assert waiting.result()[0] == GoalStatus.STATUS_CANCELED
    assert len(engine.prefilled) == 1
    running.cancel()
    assert running.result()[0] == GoalStatus.STATUS_CANCELED


def test_all_at_once_through_the_zero_id(robot: Robot, engine: ScriptedEngine) -> None:
    engine.prefill_delay = 60.0
    goals = [robot.send(str(i)) for i in range(3)]
    assert all(goal.handle.accepted for goal in goals)
    robot.call(CancelGoal, 'chat/_action/cancel_goal', CancelGoal.Request())
    assert {goal.result()[0] for goal in goals} == {GoalStatus.STATUS_CANCELED}
