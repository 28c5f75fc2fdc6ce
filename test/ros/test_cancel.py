# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A canceled goal ends CANCELED with its partial text, at whatever moment the cancel comes."""

from __future__ import annotations

from threading import Event, Lock
from typing import Any

from action_msgs.msg import GoalStatus
from action_msgs.srv import CancelGoal
import pytest
from robot import Robot
from scripted_engine import ScriptedEngine
from waiting import wait_for

from tinychat_ros import chat_server


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


def test_while_another_goal_is_checked(robot: Robot, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.prefill_delay = 60.0
    running = robot.send('first')
    wait_for(lambda: engine.prefilled)
    check, begun, go = chat_server.check_goal, Event(), Event()

    def slow(goal: Any, *arguments: Any) -> Any:
        if goal.prompt == 'slow':
            begun.set()
            assert go.wait(30)
        return check(goal, *arguments)

    monkeypatch.setattr(chat_server, 'check_goal', slow)
    checked = robot.send('slow')
    assert begun.wait(30)
    running.cancel()
    assert running.result()[0] == GoalStatus.STATUS_CANCELED
    go.set()
    checked.cancel()
    assert checked.result()[0] == GoalStatus.STATUS_CANCELED


def test_while_it_is_accepted(robot: Robot, engine: ScriptedEngine) -> None:
    """Its client hears that it is accepted a moment before the service gets the request."""
    engine.prefill_delay = 60.0
    service, waits = robot.node._service, Event()
    assert service is not None
    submit, lock = service.submit, Lock()

    class Noted:

        def __enter__(self) -> None:
            if lock.locked():
                waits.set()
            lock.acquire()

        def __exit__(self, *_: object) -> None:
            lock.release()

    def late(*arguments: Any, **options: Any) -> Any:
        assert waits.wait(30)
        return submit(*arguments, **options)

    robot.node._server._server.accepting = Noted()  # type: ignore[assignment]
    service.submit = late  # type: ignore[method-assign]
    goal = robot.send()
    assert goal.handle.accepted
    goal.cancel()
    assert goal.result()[0] == GoalStatus.STATUS_CANCELED
