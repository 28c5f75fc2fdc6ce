# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The table of terminal states: every way a goal can end, and what its client and all who listen are told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from action_msgs.msg import GoalStatus
from builtin_interfaces.msg import Duration
import pytest
from robot import Goal, Robot
from scripted_engine import ScriptedEngine
from waiting import wait_for

from tinychat_core.errors import InvalidParameterError
from tinychat_ros.interfaces import Chat

SUCCEEDED, CANCELED, ABORTED = (GoalStatus.STATUS_SUCCEEDED, GoalStatus.STATUS_CANCELED, GoalStatus.STATUS_ABORTED)
SOON = Duration(sec=1)  # and yet later than the first text
Act = Callable[[Robot, ScriptedEngine], Goal]


def endless(robot: Robot, engine: ScriptedEngine, **fields: Any) -> Goal:
    """Return a goal in the middle of an answer that does not end."""
    engine.words, engine.stands_at = ['word '] * 1000, 3
    goal = robot.send(**fields)
    goal.await_text()
    return goal


def waiting(robot: Robot, engine: ScriptedEngine, **fields: Any) -> Goal:
    """Return a goal that waits behind one that is read for a minute."""
    engine.prefill_delay = 60.0
    robot.send('first')
    wait_for(lambda: engine.prefilled)
    goal = robot.send(**fields)
    assert goal.handle.accepted
    return goal


def then(act: Callable[[Robot, Goal], Any], begin: Act = endless) -> Act:
    """Return what begins a goal and does something to it."""
    def both(robot: Robot, engine: ScriptedEngine) -> Goal:
        goal = begin(robot, engine)
        act(robot, goal)
        return goal
    return both


def with_engine(prompt: str = 'Hello', goal: dict[str, Any] | None = None, **attributes: Any) -> Act:
    """Return what sends a goal to an engine with these attributes."""
    def send(robot: Robot, engine: ScriptedEngine) -> Goal:
        for name, value in attributes.items():
            setattr(engine, name, value)
        return robot.send(prompt, **(goal or {}))
    return send


def refuse(*_: Any, **__: Any) -> None:
    raise InvalidParameterError('the template refuses these messages')


def no_memory(*_: Any) -> None:
    raise MemoryError


def template_refuses(robot: Robot, engine: ScriptedEngine) -> Goal:
    engine.tokenizer.encode_chat = refuse
    return robot.send()


def preempt(robot: Robot, goal: Goal) -> None:
    robot.set_parameter('busy_policy', 'preempt')
    robot.send('newer')


def deactivate(robot: Robot, goal: Goal) -> None:
    robot.node.trigger_deactivate()


def shut_down(robot: Robot, goal: Goal) -> None:
    robot.node.end()  # what SIGTERM does, for which test_processes.py has a process


def lose_client(robot: Robot, engine: ScriptedEngine) -> Goal:
    goal = endless(robot, engine)
    watcher = robot.node._server._watcher
    (lost,) = robot.node._server._goals.values()
    watcher.watch(lost, {b'gone'})
    watcher.look({b'gone'})
    return goal


TABLE: dict[str, tuple[Act, int, str, int]] = {
    'end of the answer': (with_engine(), SUCCEEDED, 'stop', Chat.Result.NONE),
    'stop text': (with_engine(goal={'stop': ['maps']}), SUCCEEDED, 'stop', Chat.Result.NONE),
    'max_new_tokens': (with_engine(goal={'max_new_tokens': 2}), SUCCEEDED, 'length', Chat.Result.NONE),
    'end of the context': (with_engine(context_length=9), SUCCEEDED, 'length', Chat.Result.NONE),
    'canceled': (then(lambda _, goal: goal.cancel()), CANCELED, 'canceled', Chat.Result.NONE),
    'canceled before it ran': (then(lambda _, goal: goal.cancel(), waiting), CANCELED, 'canceled', Chat.Result.NONE),
    'invalid': (template_refuses, ABORTED, 'aborted', Chat.Result.INVALID_GOAL),
    'prompt too long': (with_engine('x' * 200), ABORTED, 'aborted', Chat.Result.PROMPT_TOO_LONG),
    'preempted': (then(preempt), ABORTED, 'aborted', Chat.Result.PREEMPTED),
    'preempted before it ran': (then(preempt, waiting), ABORTED, 'aborted', Chat.Result.PREEMPTED),
    'time limit': (lambda *both: endless(*both, time_limit=SOON), ABORTED, 'aborted', Chat.Result.TIME_LIMIT),
    'time limit before it ran': (lambda *both: waiting(*both, time_limit=SOON), ABORTED, 'aborted',
                                 Chat.Result.TIME_LIMIT),
    'deactivated': (then(deactivate), ABORTED, 'aborted', Chat.Result.DEACTIVATED),
    'deactivated before it ran': (then(deactivate, waiting), ABORTED, 'aborted', Chat.Result.DEACTIVATED),
    'shut down': (then(shut_down), ABORTED, 'aborted', Chat.Result.DEACTIVATED),
    'shut down before it ran': (then(shut_down, waiting), ABORTED, 'aborted', Chat.Result.DEACTIVATED),
    'structure incomplete': (with_engine(goal={'regex': 'abc', 'max_new_tokens': 2}, words=[*'abc']), ABORTED,
                             'aborted', Chat.Result.STRUCTURE_INCOMPLETE),
    'no memory': (with_engine(prefill=no_memory), ABORTED, 'aborted', Chat.Result.OUT_OF_MEMORY),
    'decoder broken': (with_engine(fails_at=1), ABORTED, 'aborted', Chat.Result.BACKEND_FAILED),
    'client lost': (lose_client, ABORTED, 'aborted', Chat.Result.CLIENT_LOST),
}


@pytest.mark.parametrize(('act', 'status', 'reason', 'code'), TABLE.values(), ids=TABLE.keys())
def test_how_a_goal_ends(robot: Robot, engine: ScriptedEngine, act: Act, status: int, reason: str, code: int) -> None:
    goal = act(robot, engine)
    ended, result = goal.result()
    assert (ended, result.finish_reason, result.error_code) == (status, reason, code)
    assert bool(result.error_msg) == (status == ABORTED)
    pieces = robot.pieces(goal.handle.goal_id)
    assert [piece.last for piece in pieces].count(True) == 1
    last = pieces[-1]
    assert (last.last, last.finish_reason, last.error_code, last.new_tokens) == (True, reason, code, result.new_tokens)
    assert ''.join(piece.delta for piece in pieces) == result.text
    assert [piece.index for piece in pieces] == list(range(len(pieces)))


def test_every_error_code_is_in_the_table() -> None:
    names = [name for name in dir(Chat.Result) if name.isupper()]
    codes = {code for name in names if isinstance(code := getattr(Chat.Result, name), int)}
    not_served_yet = {Chat.Result.NO_IMAGE, Chat.Result.REMOTE_FAILED}
    assert {code for *_, code in TABLE.values()} == codes - not_served_yet - {Chat.Result.UNKNOWN}
