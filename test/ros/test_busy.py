# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What a goal meets while another runs."""

from __future__ import annotations

from typing import Any

from action_msgs.msg import GoalStatus
from robot import Robot
from scripted_engine import ScriptedEngine
from waiting import wait_for

from tinychat_ros.interfaces import Chat


def test_a_second_goal_waits_and_is_told_so(robot: Robot, engine: ScriptedEngine) -> None:
    engine.stands_at = 0
    first = robot.send('first')
    wait_for(lambda: engine.prefilled)
    second = robot.send('second')
    assert second.handle.accepted
    engine.stands_at = None
    assert [goal.result()[0] for goal in (first, second)] == [GoalStatus.STATUS_SUCCEEDED] * 2
    assert [messages[-1]['content'] for messages in engine.dialogues] == ['first', 'second']
    assert (second.told(1)[0].stage, second.feedback[0].goals_ahead) == (Chat.Feedback.QUEUED, 1)


def test_a_full_queue_rejects(start: Any, engine: ScriptedEngine) -> None:
    robot = start(queue_depth=1)
    engine.prefill_delay = 60.0
    running = robot.send('running')
    wait_for(lambda: engine.prefilled)
    waiting = robot.send('waiting')
    assert waiting.handle.accepted
    assert not robot.send('refused').handle.accepted
    wait_for(lambda: '[queue full] 1 of 1' in robot.states[-1].last_rejection)
    for goal in (running, waiting):
        goal.handle.cancel_goal_async()
        assert goal.result()[0] == GoalStatus.STATUS_CANCELED


def test_reject_takes_one_goal_at_a_time(start: Any, engine: ScriptedEngine) -> None:
    robot = start(busy_policy='reject')
    engine.stands_at = 0
    first = robot.send('first')
    wait_for(lambda: engine.prefilled)
    assert not robot.send('second').handle.accepted
    engine.stands_at = None
    assert first.result()[0] == GoalStatus.STATUS_SUCCEEDED


def test_preempt_ends_the_running_goal_with_its_partial_text(start: Any, engine: ScriptedEngine) -> None:
    robot = start(busy_policy='preempt')
    engine.words, engine.stands_at = ['word '] * 1000, 3
    first = robot.send('first')
    first.await_text()
    second = robot.send('second', max_new_tokens=2)
    status, result = first.result()
    assert (status, result.error_code) == (GoalStatus.STATUS_ABORTED, Chat.Result.PREEMPTED)
    assert result.text.startswith('word ')
    assert second.result()[0] == GoalStatus.STATUS_SUCCEEDED


def test_higher_priority_runs_first(robot: Robot, engine: ScriptedEngine) -> None:
    engine.stands_at = 0
    goals = [robot.send('running')]
    wait_for(lambda: engine.prefilled)
    for prompt, priority in (('low', 0), ('high', 9), ('later', 0)):
        goals.append(robot.send(prompt, priority=priority))
        assert goals[-1].handle.accepted
    engine.stands_at = None
    assert {goal.result()[0] for goal in goals} == {GoalStatus.STATUS_SUCCEEDED}
    assert [messages[-1]['content'] for messages in engine.dialogues] == ['running', 'high', 'low', 'later']
