# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The services, and the state that late joiners see."""

from __future__ import annotations

from robot import Robot, wait_for
from scripted_engine import ScriptedEngine

from tinychat_ros.interfaces import GetModelInfo, Message, State, Tokenize


def test_model_info(robot: Robot) -> None:
    info = robot.call(GetModelInfo, 'get_model_info', GetModelInfo.Request())
    assert info.success
    assert (info.family, info.precision, info.group_size, info.context_length) == ('llama', 'W4A8', 32, 128)


def test_tokenize_text_and_messages(robot: Robot) -> None:
    assert list(robot.call(Tokenize, 'tokenize', Tokenize.Request(text='ab')).tokens) == [97, 98]
    messages = [Message(role='user', content='a')]
    answer = robot.call(Tokenize, 'tokenize', Tokenize.Request(messages=messages))
    assert list(answer.tokens) == [258, 97, 256, 259]


def test_tokenize_wants_one_of_the_two(robot: Robot) -> None:
    answer = robot.call(Tokenize, 'tokenize', Tokenize.Request())
    assert not answer.success
    assert 'either' in answer.message


def test_state_goes_from_idle_to_busy_and_back(robot: Robot, engine: ScriptedEngine) -> None:
    engine.delay = 0.05
    assert robot.states[-1].state == State.IDLE
    goal = robot.send()
    goal.result()
    wait_for(lambda: robot.states[-1].state == State.IDLE)
    busy = [state for state in robot.states if state.state == State.BUSY]
    assert any(list(state.goal_id.uuid) == list(goal.handle.goal_id.uuid) for state in busy)
