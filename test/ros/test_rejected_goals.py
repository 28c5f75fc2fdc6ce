# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A goal that cannot be served is rejected, the reason is in ~/state, and the node keeps serving."""

from __future__ import annotations

import sys
from typing import Any

from builtin_interfaces.msg import Duration
import pytest
from robot import Robot
from waiting import wait_for

from tinychat_ros.interfaces import Message, SamplingParams

BAD = {
    'empty prompt': ({'prompt': ''}, 'both are empty'),
    'blank prompt': ({'prompt': ' \n'}, 'both are empty'),
    'prompt and messages': ({'messages': [Message(role='user', content='a')]}, 'not both'),
    'role that forges a log line': (
        {'prompt': '', 'messages': [Message(role='x\n[ERROR] fire' * 10**5, content='a')]}, "'x\\n[ERROR] firex"),
    'too many characters': ({'prompt': 'x' * (2**23 + 1)}, 'more than the limit of 8388608'),
    'too many messages': ({'prompt': '', 'messages': [Message(role='user', content='a')] * 10_001},
                          'messages: 10001 messages'),
    'long conversation id': ({'conversation_id': 'x' * 257}, 'conversation_id: 257 characters'),
    'too many stop texts': ({'stop': ['x'] * 65}, 'stop: 65 texts'),
    'long stop text': ({'stop': ['x' * 1025]}, 'a text of stop: 1025 characters'),
    'unknown role': ({'prompt': '', 'messages': [Message(role='robot', content='a')]}, "'robot'"),
    'no new tokens': ({'max_new_tokens': 0}, 'max_new_tokens'),
    'negative new tokens': ({'max_new_tokens': -2}, 'max_new_tokens'),
    'more new tokens than context': ({'max_new_tokens': 2**31 - 1}, '1 .. 128'),
    'no number': ({'sampling': SamplingParams(temperature=float('nan'))}, 'sampling.temperature'),
    'infinite temperature': ({'sampling': SamplingParams(temperature=float('inf'))}, 'sampling.temperature'),
    'negative temperature': ({'sampling': SamplingParams(temperature=-0.5)}, 'sampling.temperature'),
    'negative top_k': ({'sampling': SamplingParams(top_k=-7)}, 'sampling.top_k'),
    'top_p above one': ({'sampling': SamplingParams(top_p=1.5)}, 'top_p'),
    'negative seed': ({'sampling': SamplingParams(seed=-2)}, 'sampling.seed'),
    'negative DRY': ({'sampling': SamplingParams(dry_multiplier=-0.5)}, 'sampling.dry_multiplier'),
    'DRY that shrinks': ({'sampling': SamplingParams(dry_base=0.5)}, 'dry_base'),
    'DRY of nothing': ({'sampling': SamplingParams(dry_allowed_length=0)}, 'dry_allowed_length'),
    'penalty of zero': ({'sampling': SamplingParams(repetition_penalty=0.0)}, 'repetition_penalty'),
    'empty stop text': ({'stop': ['']}, 'stop'),
    'negative time limit': ({'time_limit': Duration(sec=-1)}, 'time_limit'),
    'conversation of messages': (
        {'prompt': '', 'conversation_id': 'kitchen', 'messages': [Message(role='user', content='a')]},
        'a conversation takes a prompt'),
    'JSON schema': ({'json_schema': '{"type": "objekt"}'}, 'json_schema is refused: Invalid type: objekt'),
    'expression': ({'regex': '('}, 'regex is refused: unclosed group'),
    'JSON schema and expression': ({'json_schema': '{}', 'regex': 'a'}, 'not both'),
}


@pytest.mark.parametrize(('fields', 'reason'), BAD.values(), ids=BAD.keys())
def test_a_bad_goal_is_rejected_with_its_reason(robot: Robot, fields: dict[str, Any], reason: str) -> None:
    assert not robot.send(**fields).handle.accepted
    wait_for(lambda: reason in robot.states[-1].last_rejection)
    told = robot.states[-1].last_rejection
    assert told.isprintable() and len(told) < 1100
    assert robot.states[-1].rejected_goals == 1
    assert robot.send().result()[1].finish_reason == 'stop'


@pytest.mark.parametrize('sampling', [
    {'repetition_penalty': 0.01}, {'repetition_penalty': 100.0}, {'temperature': 100.0}, {'temperature': 1e-4},
    {'top_p': 1.0}, {'top_p': 0.0}, {'min_p': 1.0}, {'min_p': 0.0},
    {'dry_multiplier': 100.0, 'dry_base': 1.0, 'dry_allowed_length': 1, 'dry_penalty_last_n': 0}], ids=str)
def test_the_ends_of_each_range_are_accepted(robot: Robot, sampling: dict[str, float]) -> None:
    """Also those that no float32 of a message is equal to."""
    assert robot.send(sampling=SamplingParams(**sampling)).handle.accepted


def test_without_llguidance_a_structured_goal_is_told_how_to_get_it(
        robot: Robot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'llguidance', None)
    assert not robot.send(regex='yes|no').handle.accepted
    wait_for(lambda: 'pip install llguidance' in robot.states[-1].last_rejection)
