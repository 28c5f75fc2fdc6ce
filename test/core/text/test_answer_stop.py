# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Stop texts end the text of an answer; within thoughts and calls, and between them, they are like any other text."""
from __future__ import annotations

import json

import pytest

from tinychat_core.text.answer_stop import AnswerStop
from tinychat_core.text.thoughts import ThoughtMarks
from tinychat_core.text.tool_calls.formats import FORMATS
from tinychat_core.text.tool_calls.grammar import AnswerParts
from tinychat_core.text.tool_calls.tools import tool_use

USE = tool_use([{'type': 'function', 'function': {'name': 'go', 'parameters': {'type': 'object', 'properties': {
    'to': {'type': 'string'}}}}}])
MARKS = ThoughtMarks('<think>', '</think>')
CALL = '<tool_call>\n{"name": "go", "arguments": {"to": "x\\n\\ny"}}\n</tool_call>'


def passed(answer: str, stop: tuple[str, ...], size: int, parts: AnswerParts | None) -> tuple[str, bool]:
    """Return what of an answer is handed out if it comes in pieces of this size, and whether a stop text ended it."""
    stream = AnswerStop(('<|end|>',), stop, parts)
    text = ''.join(stream.push(answer[i:i + size]) for i in range(0, len(answer), size))
    return text + stream.finish(), stream.is_complete


PARTS = AnswerParts(FORMATS['hermes'], USE, MARKS)


@pytest.mark.parametrize('size', [1, 3, 1000])
@pytest.mark.parametrize(('answer', 'stop', 'text', 'ends'), [
    ('<think>a\n\nb</think>\n\nOne.\n\nTwo.', '\n\n', '<think>a\n\nb</think>\n\nOne.', True),
    ('<think></think>\n\nOne.', '\n\n', '<think></think>\n\nOne.', False),
    ('<think>STOP</think>Go. STOP now', 'STOP', '<think>STOP</think>Go. ', True),
    (f'Well.\n{CALL}\n\n{CALL}', '\n\n', f'Well.\n{CALL}\n\n{CALL}', False),
    (f'Well. STOP{CALL}', 'STOP', 'Well. ', True),
    ('a STO', 'STOP', 'a STO', False),
    ('a<|end|>b', 'STOP', 'a', True),
    ('<think>a<|end|>b', 'STOP', '<think>a', True)], ids=lambda value: json.dumps(value)[:40])
def test_only_text_is_ended(size: int, answer: str, stop: str, text: str, ends: bool) -> None:
    assert passed(answer, (stop,), size, PARTS) == (text, ends)


@pytest.mark.parametrize('size', [1, 3, 1000])
def test_a_thought_that_the_prompt_begins(size: int) -> None:
    parts = AnswerParts(thoughts=MARKS, is_thinking=True)
    assert passed('a\n\nb</think>\n\nOne.\n\nTwo.', ('\n\n',), size, parts) == ('a\n\nb</think>\n\nOne.', True)


def test_an_answer_without_parts_ends_at_the_first() -> None:
    assert passed('<think>a\n\nb', ('\n\n',), 1, None) == ('<think>a', True)
    assert passed('<think>a\n\nb', ('\n\n',), 1, AnswerParts()) == ('<think>a', True)
