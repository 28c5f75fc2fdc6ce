# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What comes before the model takes no longer than a goal may take, and holds nobody up."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event
from typing import Any

from action_msgs.msg import GoalStatus
from builtin_interfaces.msg import Duration
import pytest
from robot import Robot
from scripted_engine import ScriptedEngine
from waiting import wait_for

from tinychat_ros.interfaces import Chat, GetModelInfo, ResetConversation, Tokenize


@pytest.fixture
def stuck(engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Event]:
    """Let the tokenizer stand still at 'slow' until the test ends; return what is set once it does."""
    encode, is_stuck, free = engine.tokenizer.encode_chat, Event(), Event()

    def slow(messages: Any, **_: Any) -> list[int]:
        if messages[-1]['content'] == 'slow':
            is_stuck.set()
            free.wait(60)
        return list(encode(messages))

    monkeypatch.setattr(engine.tokenizer, 'encode_chat', slow)
    yield is_stuck
    free.set()


@pytest.mark.parametrize('conversation_id', ['', 'kitchen'])
def test_a_cancel_does_not_wait_for_the_tokenizer(robot: Robot, stuck: Event, conversation_id: str) -> None:
    goal = robot.send('slow', conversation_id=conversation_id)
    wait_for(stuck.is_set)
    goal.cancel()
    status, result = goal.result()
    assert (status, result.finish_reason) == (GoalStatus.STATUS_CANCELED, 'canceled')
    assert robot.send('Hello', conversation_id=conversation_id).result()[1].finish_reason == 'stop'
    assert robot.call(ResetConversation, 'reset_conversation', ResetConversation.Request()).success


def test_a_time_limit_does_not_wait_for_the_tokenizer(robot: Robot, stuck: Event) -> None:
    status, result = robot.send('slow', time_limit=Duration(nanosec=50_000_000)).result()
    assert (status, result.error_code) == (GoalStatus.STATUS_ABORTED, Chat.Result.TIME_LIMIT)
    assert robot.call(GetModelInfo, 'get_model_info', GetModelInfo.Request()).success


def test_a_conversation_is_in_use_while_its_question_is_tokenized(robot: Robot, stuck: Event) -> None:
    goal = robot.send('slow', conversation_id='kitchen')
    wait_for(stuck.is_set)
    request = ResetConversation.Request(conversation_id='kitchen')
    assert robot.call(ResetConversation, 'reset_conversation', request).message == 'in use by a running goal'
    goal.cancel()
    goal.result()
    assert robot.call(ResetConversation, 'reset_conversation', request).message == 'unknown conversation'


def test_a_prompt_of_megabytes_is_aborted_as_too_long(robot: Robot) -> None:
    status, result = robot.send('7' * 4_000_000).result()
    assert (status, result.error_code) == (GoalStatus.STATUS_ABORTED, Chat.Result.PROMPT_TOO_LONG)
    assert robot.send().result()[1].finish_reason == 'stop'


def test_tokenize_takes_no_megabytes(robot: Robot) -> None:
    answer = robot.call(Tokenize, 'tokenize', Tokenize.Request(text='7' * (2**18 + 1)))
    assert not answer.success
    assert 'exceed the limit of 262144' in answer.message
