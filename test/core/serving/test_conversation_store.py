# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Requests of a conversation: what the model is shown, what is reused, and how a conversation is forgotten."""

from __future__ import annotations

from typing import Any

import pytest
from scripted_engine import ScriptedEngine
from talking import Talk
from waiting import wait_for

from tinychat_core.serving import conversations
from tinychat_core.serving.conversations import Reset
from tinychat_core.serving.results import ChatResult, ErrorCode

ANSWER = 'Robots need maps.'


def ask(talk: Talk, prompt: str, conversation_id: str = 'kitchen', **fields: Any) -> ChatResult:
    """Return the result of a request that succeeds."""
    result = talk.send(prompt, conversation_id=conversation_id, **fields).result()
    assert result.error_code is ErrorCode.NONE
    return result


def shown(talk: Talk) -> list[str]:
    """Return the texts of the last dialogue."""
    return [message['content'] for message in talk.engine.dialogues[-1]]


def test_a_follow_up_reads_only_what_is_new(talk: Talk) -> None:
    ask(talk, 'one')
    second = ask(talk, 'number two')
    assert shown(talk) == ['one', ANSWER, 'number two']
    assert (second.reused_tokens, second.prompt_tokens - second.reused_tokens) == (9, len(talk.engine.prefilled[-1]))


def test_one_shot_requests_share_their_system_prompt_and_take_no_cache_from_a_conversation(talk: Talk) -> None:
    ask(talk, 'one', system_prompt='kitchen')
    ask(talk, 'one', '', system_prompt='system')
    assert ask(talk, 'number two', '', system_prompt='system').reused_tokens == 9  # with the role of the question
    assert ask(talk, 'two').reused_tokens > len('kitchen')


def test_the_default_system_prompt_is_for_conversations_that_begin(talk: Talk) -> None:
    ask(talk, 'one', default_system_prompt='be brief')
    ask(talk, 'two', default_system_prompt='changed')
    assert shown(talk)[0] == 'be brief'
    ask(talk, 'three', system_prompt='be kind', default_system_prompt='changed')
    assert shown(talk)[:2] == ['be kind', 'one']


def test_after_a_failure_nothing_that_was_computed_is_trusted(talk: Talk, engine: ScriptedEngine) -> None:
    ask(talk, 'one')
    engine.fails_at = 1
    talk.send('two', conversation_id='kitchen').result()
    engine.fails_at = None
    assert ask(talk, 'three').reused_tokens == 0
    assert shown(talk) == ['one', ANSWER, 'two', 'Robots ', 'three']


def test_a_first_request_that_is_refused_leaves_no_conversation(talk: Talk) -> None:
    talk.send('x' * 200, conversation_id='kitchen').result()
    assert talk.service.conversations.reset('kitchen') is Reset.UNKNOWN


def test_reset_forgets_one_or_all(talk: Talk) -> None:
    for name in ('kitchen', 'hall'):
        ask(talk, 'one', name)
    reset = talk.service.conversations.reset
    assert (reset('kitchen'), reset('kitchen')) == (Reset.DONE, Reset.UNKNOWN)
    ask(talk, 'two', 'hall')
    assert shown(talk) == ['one', ANSWER, 'two']
    assert (reset(''), reset('hall')) == (Reset.DONE, Reset.UNKNOWN)


def test_a_conversation_that_runs_is_not_reset(talk: Talk, engine: ScriptedEngine) -> None:
    ask(talk, 'one', 'hall')
    running = talk.endless(conversation_id='kitchen')
    reset = talk.service.conversations.reset
    assert (reset('kitchen'), reset(''), reset('hall')) == (Reset.IN_USE, Reset.IN_USE, Reset.DONE)
    running.handle.cancel()
    running.result()
    assert reset('') is Reset.DONE


def test_a_request_of_no_conversation_keeps_none_from_being_reset(talk: Talk) -> None:
    ask(talk, 'one')
    running = talk.endless()
    assert talk.service.conversations.reset('') is Reset.DONE
    running.handle.cancel()


def test_a_conversation_that_runs_is_forgotten_when_it_is_free(talk: Talk, engine: ScriptedEngine) -> None:
    ask(talk, 'one')
    words = engine.words
    running = talk.endless(conversation_id='kitchen')
    talk.service.conversations.reset_when_free('kitchen')
    following = talk.send('two', conversation_id='kitchen')
    running.handle.cancel()
    engine.words, engine.stands_at = words, None
    following.result()
    assert shown(talk) == ['two']
    talk.service.conversations.reset_when_free('kitchen')
    talk.service.conversations.reset_when_free('unknown')
    assert talk.service.conversations.reset('kitchen') is Reset.UNKNOWN


def test_the_oldest_of_very_many_is_forgotten(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversations, 'MAX_CONVERSATIONS', 2)
    for name in ('kitchen', 'hall', 'kitchen', 'cellar'):
        ask(talk, 'one', name)
    assert [talk.service.conversations.reset(name) for name in ('hall', 'kitchen', 'cellar')] == [
        Reset.UNKNOWN, Reset.DONE, Reset.DONE]


def test_conversations_outlive_a_pause(talk: Talk) -> None:
    ask(talk, 'one')
    talk.service.stop('a pause')
    talk.service.open()
    assert ask(talk, 'number two').reused_tokens == 9


def test_a_conversation_is_in_use_before_its_question_is_tokenized(talk: Talk, engine: ScriptedEngine) -> None:
    engine.prefill_delay = 60.0
    asked = talk.send('one', conversation_id='kitchen')
    wait_for(lambda: engine.prefilled)
    assert talk.service.conversations.reset('kitchen') is Reset.IN_USE
    asked.handle.cancel()
