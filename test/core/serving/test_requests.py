# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What a request may be, and what it asks the model."""

from __future__ import annotations

from typing import Any

import pytest

from tinychat_core.errors import InvalidParameterError
from tinychat_core.sampling import SamplingParams
from tinychat_core.serving.requests import ChatRequest

SYSTEM, USER, ASSISTANT = ({'role': role, 'content': role[0]} for role in ('system', 'user', 'assistant'))

IMPOSSIBLE: dict[str, tuple[dict[str, Any], str]] = {
    'nothing': ({}, 'give either a prompt or messages; both are empty'),
    'only spaces': ({'prompt': ' \n'}, 'both are empty'),
    'both': ({'prompt': 'a', 'messages': [USER]}, 'give either a prompt or messages, not both'),
    'messages of a conversation': ({'messages': [USER], 'conversation_id': 'a'},
                                   'a conversation takes a prompt, or messages of role tool'),
    'a raw prompt and messages': ({'raw_prompt': 'a', 'messages': [USER]}, 'a raw prompt stands alone'),
    'a raw prompt and a system prompt': ({'raw_prompt': 'a', 'system_prompt': 'b'}, 'a raw prompt stands alone'),
    'a raw prompt of a conversation': ({'raw_prompt': 'a', 'conversation_id': 'b'}, 'a raw prompt stands alone'),
    'a raw prompt that switches thinking': ({'raw_prompt': 'a', 'thinking': True}, 'a raw prompt stands alone'),
    'too many raw characters': ({'raw_prompt': 'x' * (2**23 + 1)}, 'more than the limit of 8388608'),
    'unknown role': ({'messages': [{'role': 'robot', 'content': ''}]},
                     "one of system, user, assistant, tool, not 'robot'"),
    'two system prompts': ({'messages': [SYSTEM, USER], 'system_prompt': 'b'}, 'not both'),
    'negative time limit': ({'prompt': 'a', 'time_limit': -1.0}, 'time_limit must not be negative'),
    'endless time limit': ({'prompt': 'a', 'time_limit': float('nan')}, 'time_limit must not be negative'),
    'too many characters': ({'prompt': 'x' * (2**23 + 1)}, 'more than the limit of 8388608'),
    'too many characters together': ({'messages': [{'role': 'user', 'content': 'x' * 2**22}] * 2}, 'more than the'),
    'too many messages': ({'messages': [USER] * 10_001}, '10001 messages, more than the limit of 10000'),
    'long name': ({'prompt': 'a', 'conversation_id': 'x' * 257}, 'conversation_id: 257 characters'),
    'too many stops': ({'prompt': 'a', 'params': SamplingParams(stop=['x'] * 65)}, 'stop: 65 texts'),
    'long stop': ({'prompt': 'a', 'params': SamplingParams(stop=['x' * 1025])}, 'a text of stop: 1025 characters'),
}


@pytest.mark.parametrize(('fields', 'message'), IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
def test_what_no_model_can_answer_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidParameterError, match=message):
        ChatRequest(**fields)


@pytest.mark.parametrize(('fields', 'contents'), [
    ({'prompt': 'p'}, ['p']),
    ({'prompt': 'p', 'default_system_prompt': 'd'}, ['d', 'p']),
    ({'prompt': 'p', 'system_prompt': 's', 'default_system_prompt': 'd'}, ['s', 'p']),
    ({'messages': [USER, ASSISTANT, USER], 'default_system_prompt': 'd'}, ['d', 'u', 'a', 'u']),
    ({'messages': [SYSTEM, USER], 'default_system_prompt': 'd'}, ['s', 'u'])])
def test_the_dialogue_begins_with_one_system_prompt(fields: dict[str, Any], contents: list[str]) -> None:
    assert [message['content'] for message in ChatRequest(**fields).dialogue] == contents
