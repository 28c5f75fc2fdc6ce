# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The services, and the state that late joiners see."""

from __future__ import annotations

from threading import Event
from typing import Any

from lifecycle_msgs.srv import GetState
import pytest
from robot import Robot
from scripted_engine import EOS, ROLES, ScriptedEngine
from waiting import wait_for

from tinychat_ros.interfaces import GetModelInfo, Message, State, Tokenize


def test_model_info(robot: Robot) -> None:
    info = robot.call(GetModelInfo, 'get_model_info', GetModelInfo.Request())
    assert info.success
    assert (info.family, info.precision, info.group_size, info.context_length) == ('llama', 'W4A8', 32, 128)


def test_tokenize_text_and_messages(robot: Robot) -> None:
    assert list(robot.call(Tokenize, 'tokenize', Tokenize.Request(text='ab')).tokens) == [97, 98]
    messages = [Message(role='user', content='a')]
    answer = robot.call(Tokenize, 'tokenize', Tokenize.Request(messages=messages))
    assert list(answer.tokens) == [ROLES['user'], 97, EOS, ROLES['assistant']]


def test_tokenize_wants_one_of_the_two(robot: Robot) -> None:
    answer = robot.call(Tokenize, 'tokenize', Tokenize.Request())
    assert not answer.success
    assert 'either' in answer.message


def test_texts_that_take_long_leave_the_executor_to_others(
        robot: Robot, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four of them once took all its threads: no cancel and no transition was heard meanwhile."""
    go_on = Event()
    begun: list[str] = []
    encode = engine.tokenizer.encode
    monkeypatch.setattr(engine.tokenizer, 'encode', lambda text: (begun.append(text), go_on.wait(20), encode(text))[2])
    client = robot.client_node.create_client(Tokenize, 'tinychat/tokenize')
    answers: list[Any] = [client.call_async(Tokenize.Request(text='ab')) for _ in range(6)]
    wait_for(lambda: begun)
    for _ in range(10):  # one by one, so that the other texts have come meanwhile
        robot.call(GetState, 'get_state', GetState.Request())
    assert not any(answer.done() for answer in answers)
    go_on.set()
    wait_for(lambda: all(answer.done() and list(answer.result().tokens) == [97, 98] for answer in answers))


def test_tokenize_names_the_field_that_is_not_served(robot: Robot) -> None:
    messages = [Message(role='user', content='a', images=[0])]
    answer = robot.call(Tokenize, 'tokenize', Tokenize.Request(messages=messages))
    assert not answer.success
    assert 'messages: images are not counted here' in answer.message


def test_of_messages_the_roles_count_too(robot: Robot) -> None:
    answer = robot.call(Tokenize, 'tokenize', Tokenize.Request(messages=[Message(role='r' * 2**19, content='a')]))
    assert not answer.success
    assert str(2**19 + 1) in answer.message


def test_state_goes_from_idle_to_busy_and_back(robot: Robot, engine: ScriptedEngine) -> None:
    engine.delay = 0.05
    assert robot.states[-1].state == State.IDLE
    goal = robot.send()
    goal.result()
    wait_for(lambda: robot.states[-1].state == State.IDLE)
    assert not robot.states[-1].running_goals and robot.states[-1].backends == ['local']
    busy = [state for state in robot.states if state.state == State.BUSY]
    assert all(list(state.running_goals) == [goal.handle.goal_id] for state in busy)
