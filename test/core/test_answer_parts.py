# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Generation where an answer has parts: what a model would say, held to its tools, behind a free thought."""
from __future__ import annotations

from typing import Any

import pytest
from scripted_engine import EOS, ScriptedEngine
from test_constraint import Bytes

from tinychat_core.generation import Generation
from tinychat_core.sampling import SamplingParams
from tinychat_core.text.thoughts import ThoughtMarks
from tinychat_core.text.tool_calls.formats import FORMATS
from tinychat_core.text.tool_calls.grammar import AnswerParts
from tinychat_core.text.tool_calls.tools import tool_use

TOOLS = """[{"type": "function", "function": {"name": "go", "parameters": {"type": "object", "properties": {
    "x": {"type": "integer"}}, "required": ["x"]}}}]"""
CALL = '<tool_call>\n{"name": "go", "arguments": {"x": 1}}\n</tool_call>'
THINK = ThoughtMarks('<think>', '</think>')


def generate(script: str, parts: AnswerParts, **params: Any) -> Generation:
    """Return the whole answer of a model that would like to say `script`."""
    engine: Any = ScriptedEngine([*script.encode(), *[EOS] * 100])
    engine.tokenizer = Bytes()
    generation = Generation(engine, [1], SamplingParams(**{'max_new_tokens': 200, **params}), parts=parts)
    for _ in generation:
        pass
    return generation


def answer(choice: str = '', parallel: bool = True, **fields: Any) -> AnswerParts:
    return AnswerParts(FORMATS['hermes'], tool_use(TOOLS, choice, parallel), **fields)


def test_text_and_calls_come_as_the_model_says_them() -> None:
    for text in ('Hello there.', CALL, f'Let me see.\n{CALL}\n{CALL}'):
        generation = generate(text, answer())
        assert (generation.text, generation.finish_reason, generation.is_complete) == (text, 'stop', True)


def test_a_call_that_would_not_match_is_made_to() -> None:
    generation = generate(CALL.replace('"x": 1', '"x": "one"'), answer())
    assert generation.text.startswith('<tool_call>\n{"name": "go", "arguments": {"x": ')
    assert '"one"' not in generation.text


def test_a_required_call_comes_whatever_the_model_would_say() -> None:
    generation = generate('Hello, I am a robot and would rather talk, for a while at least, than go.' * 2,
                          answer('required', False), max_new_tokens=70)
    assert generation.text.startswith('<tool_call>')


def test_one_call_ends_the_answer_where_there_may_be_no_other() -> None:
    generation = generate(f'{CALL}\n{CALL}', answer(parallel=False))
    assert (generation.text, generation.finish_reason) == (CALL, 'stop')


@pytest.mark.parametrize(('text', 'limit', 'is_complete'), [
    ('Hello', 3, True), (CALL, 20, False), (CALL, 62, True)])
def test_a_call_that_is_cut_off_is_not_complete_and_text_is(text: str, limit: int, is_complete: bool) -> None:
    generation = generate(text, answer(), max_new_tokens=limit)
    assert generation.finish_reason == 'length' and generation.is_complete == is_complete


def test_a_schema_holds_behind_the_thought_alone() -> None:
    schema = '{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}'
    text = '<think>\nWell, {"b": maybe}.\n</think>\n\n{"a": 1}'
    parts = AnswerParts(thoughts=THINK, json_schema=schema)
    generation = generate(text, parts, json_schema=schema)
    assert (generation.text, generation.is_complete) == (text, True)
    assert not generate(text, parts, json_schema=schema, max_new_tokens=12).is_complete


def test_without_a_structure_nothing_is_constrained() -> None:
    assert generate('<think>x', AnswerParts(thoughts=THINK)).text == '<think>x'
