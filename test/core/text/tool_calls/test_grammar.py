# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What the grammar of an answer lets through: free text, and then calls that match their tools' parameters."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import jsonschema
import numpy as np
import pytest
from weather import CONTROL, EOS, fate, golden, TOOLS, VOCABULARY

from tinychat_core.constraint import OutputConstraint
from tinychat_core.text.thoughts import ThoughtMarks
from tinychat_core.text.tool_calls.formats import FORMATS
from tinychat_core.text.tool_calls.grammar import answer_grammar, AnswerParts
from tinychat_core.text.tool_calls.parser import AnswerParser
from tinychat_core.text.tool_calls.tools import tool_use

THINK = ThoughtMarks('<think>', '</think>')
SCHEMA = '{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}'


def answer(name: str = 'hermes', choice: str = '', parallel: bool = True, **parts: Any) -> AnswerParts:
    return AnswerParts(FORMATS[name], tool_use(TOOLS, choice, parallel), **parts)


def random_answer(parts: AnswerParts, seed: int, longest: int = 1500) -> str | None:
    """Draw each token among those that may come; None for an answer that does not end."""
    constraint = OutputConstraint('', '', VOCABULARY, VOCABULARY.vocab_size, grammar=answer_grammar(parts, CONTROL))
    random = Random(seed)
    tokens: list[int] = []
    while len(tokens) < longest:
        bits = np.unpackbits(constraint.token_mask().view(np.uint8), bitorder='little')
        allowed = [int(i) for i in np.flatnonzero(bits)]
        # JSON rather than anything, and an end rather than more.
        ends = [token for token in allowed if token in (*b'"}]', EOS, *CONTROL.values())]
        readable = [token for token in allowed if token in (*b'abc"{}[]:, 12',)] or allowed
        token = random.choice(ends if ends and random.random() < 0.3 else readable)
        if token == EOS:
            break
        tokens.append(token)
        if constraint.accept(token):
            break
    else:
        return None
    return b''.join(map(VOCABULARY.bytes_of, tokens)).decode(errors='replace')


@pytest.mark.parametrize('name', FORMATS)
def test_text_may_come_first_and_then_a_call_must_match(name: str) -> None:
    parts, text = answer(name), golden(name)
    assert fate(parts, 'Hello.') == 'complete'
    assert fate(parts, '') == 'complete'
    assert fate(parts, text) == 'complete'
    assert fate(parts, text[:text.index('city')]) == 'incomplete'
    assert fate(parts, text.replace('get', 'gat', 1)).startswith('refused')
    assert fate(parts, text.replace('"city"', '"town"')).startswith('refused')
    assert fate(parts, text.replace('2}', '0}')).startswith('refused')
    if FORMATS[name].opening:
        assert fate(parts, f'Let me see.\n{text}') == 'complete'


@pytest.mark.parametrize('name', FORMATS)
def test_a_required_call_comes_at_once(name: str) -> None:
    parts = answer(name, 'required')
    assert fate(parts, golden(name)) == 'complete'
    assert fate(parts, 'Hello.') == 'refused: '
    assert fate(parts, '') == 'incomplete'


@pytest.mark.parametrize('name', FORMATS)
def test_a_named_tool_is_the_only_one(name: str) -> None:
    assert fate(answer(name, 'get'), golden(name)).startswith('refused')
    assert fate(answer('llama3', 'get_weather'), golden('llama3')) == 'complete'


@pytest.mark.parametrize('name', FORMATS)
def test_no_tool_may_be_called(name: str) -> None:
    parts = answer(name, 'none')
    assert fate(parts, 'Hello.') == 'complete'
    assert fate(parts, golden(name)).startswith('refused')
    assert fate(parts, golden(name), spelt=True).startswith('refused')


@pytest.mark.parametrize('name', [name for name, form in FORMATS.items() if form.between is not None])
def test_without_parallel_calls_there_is_one(name: str) -> None:
    assert fate(answer(name, parallel=False), golden(name)).startswith('refused')


def test_a_mark_that_is_spelt_in_text_opens_a_call_like_its_token() -> None:
    assert fate(answer('mistral'), 'x [TOOL_CALLS] hello', spelt=True) == 'refused: x [TOOL_CALLS] '


@pytest.mark.parametrize('name', FORMATS)
def test_a_thought_is_free_and_ends_before_the_rest(name: str) -> None:
    parts = answer(name, 'required', thoughts=THINK)
    assert fate(parts, f'<think>\nI [TOOL_CALLS <tool_call> {{\n</think>\n\n{golden(name)}') == 'complete'
    assert fate(parts, golden(name)) == 'complete'
    begun = answer(name, 'required', thoughts=THINK, is_thinking=True)
    assert fate(begun, f'I must.</think>{golden(name)}') == 'complete'
    assert fate(begun, golden(name), spelt=True) == 'incomplete'


def test_marks_of_thoughts_may_be_control_tokens() -> None:
    parts = AnswerParts(thoughts=ThoughtMarks('[THINK]', '[/THINK]'), json_schema=SCHEMA)
    assert fate(parts, '[THINK]Well.[/THINK]{"a": 1}') == 'complete'
    assert fate(parts, '{"a": 1}') == 'complete'
    assert fate(parts, '[THINK]Well.[/THINK]Hello').startswith('refused')


def test_text_may_have_to_match_a_schema_or_an_expression_behind_a_thought() -> None:
    assert fate(AnswerParts(thoughts=THINK, json_schema=SCHEMA), '<think>{</think>\n\n{"a": 1}') == 'complete'
    assert fate(AnswerParts(thoughts=THINK, is_thinking=True, regex=r'a/b+\n|\/'), 'so</think>a/bb\n') == 'complete'


@pytest.mark.parametrize('name', FORMATS)
def test_beside_a_schema_an_answer_is_json_or_a_call(name: str) -> None:
    parts = answer(name, json_schema=SCHEMA)
    call = golden(name) if FORMATS[name].opening else FORMATS[name].other_opening + golden(name)
    assert fate(parts, '{"a": 1}') == 'complete'
    assert fate(parts, call) == 'complete'
    assert fate(parts, 'Hello.').startswith('refused')


@pytest.mark.parametrize('name', FORMATS)
def test_whatever_is_drawn_the_calls_that_come_back_validate(name: str) -> None:
    ended = 0
    for seed in range(12):
        parts = answer(name, ('', 'required', 'get_weather')[seed % 3])
        text = random_answer(parts, seed)
        if text is None:
            continue
        ended += 1
        parser = AnswerParser(parts)
        parser.push(text)
        parser.finish()
        assert parser.calls or not parts.use.is_required
        assert not parser.is_calling
        for call in parser.calls:
            tool = next(tool for tool in parts.use.tools if tool.name == call.name)
            jsonschema.validate(json.loads(call.arguments), json.loads(tool.parameters))
    assert ended > 5


PLAIN = '{"name": "get_weather", "arguments": {"city": "Paris"}}'


@pytest.mark.parametrize('name', [name for name, form in FORMATS.items() if form.may_be_plain])
def test_a_call_without_marks_at_the_beginning_must_match(name: str) -> None:
    parts = answer(name)
    second = '{"name": "get", "arguments": {}}'
    for text in (PLAIN, f'```json\n{PLAIN}\n```', f'```\n{PLAIN}\n```', f'[{PLAIN}, {second}]', f'{PLAIN}\n{second}',
                 f'```json\n[\n  {PLAIN},\n  {second}\n]\n```', f'```json\n{PLAIN}\n```\n\n```json\n{second}\n```',
                 PLAIN.replace(', ', ',\n  ').replace('{"name"', '{\n  "name"').replace('}}', '}\n}')):
        assert fate(parts, text) == 'complete', text
        for wrong in (text.replace('"city"', '"town"'), text.replace('"Paris"', '5'), f'{text} Hello'):
            assert fate(parts, wrong).startswith('refused'), wrong
    assert fate(parts, PLAIN[:-1]) == 'incomplete'
    assert fate(answer(name, parallel=False), f'{PLAIN}\n{second}').startswith('refused')
    thinking = answer(name, thoughts=THINK)
    assert fate(thinking, f'<think>{{</think>\n\n{PLAIN}') == 'complete'
    assert fate(thinking, f'<think>{{</think>\n\n{PLAIN.replace("city", "town")}').startswith('refused')


@pytest.mark.parametrize('text', ['{"name": "Bob", "arguments": 5}', '{"name": "get_weather"}', '```json\n[1, 2]\n```',
                                  f'So: {PLAIN.replace("city", "town")}', '{"a": {"name": "get"}}', '{', '```'])
def test_other_json_is_free_text(text: str) -> None:
    assert fate(answer(), text) == 'complete'


def test_calls_need_their_marks_where_they_are_required_or_the_text_is_json() -> None:
    for parts in (answer(choice='required'), answer(choice='get_weather'), answer(json_schema=SCHEMA)):
        assert fate(parts, PLAIN).startswith('refused')
    assert fate(answer(choice='none'), PLAIN) == 'complete'
