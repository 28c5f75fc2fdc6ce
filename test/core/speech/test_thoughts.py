# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What a model thinks, and what it tells its tools, is not said."""

from __future__ import annotations

from core.speech.speaking import spoken
import pytest

CASES = {
    '<think>': '<think>\nI must. Think.\n</think>\n\nHello.',
    'in capitals': '<THINK>x</Think>Hello.',
    '<thinking>': '<thinking>x\n```\ny</thinking>Hello.',
    '<thought>, <reasoning>': '<thought>x</thought><reasoning>y</reasoning>Hello.',
    '[THINK]': '[THINK]x. Y[/THINK]Hello.',
    'harmony': '<|channel|>analysis<|message|>I think. Yes<|end|><|start|>assistant<|channel|>final<|message|>Hello.',
    'harmony, a call': '<|channel|>commentary to=functions.x <|constrain|>json<|message|>{"a": 1}<|call|>'
                       '<|start|>assistant<|channel|>final<|message|>Hello.<|return|>',
    'harmony, no thoughts': '<|start|>assistant<|message|>Hello.<|end|>',
    'Gemma': '<|channel>thought\nx. Y<channel|>Hello.',
    'Command A': '<|START_THINKING|>x<|END_THINKING|>Hello.',
    'Kimi': '◁think▷x◁/think▷Hello.',
    'Seed': '<seed:think>x</seed:think>Hello.',
    'OpenThinker': '<|begin_of_thought|>x<|end_of_thought|>Hello.',
    'tools': '<tool_call>{"name": "x"}</tool_call>Hello.',
    'with bars': '<|thinking|>x<|/thinking|><|think|>y<|end_think|>Hello.',
    'two': '<think>x</think>Hel<think>y</think>lo.',
    'an open one': 'Hello.<think>I am. Not done',
    'an open channel': 'Hello.<|channel|>analysis<|message|>I am. Not done',
    'tools to the end': 'Hello.[TOOL_CALLS]{"a. B": 1}',
}


@pytest.mark.parametrize('name', CASES)
def test_thoughts_are_not_said(name: str) -> None:
    assert spoken(CASES[name]) == ['Hello.']


@pytest.mark.parametrize('text', ['a <thin line', 'a <|chan', '[THIN ice]', 'a < b', '<think'])
def test_what_only_begins_like_a_mark_is_said(text: str) -> None:
    assert ''.join(spoken(text)).replace(' ', '') == text.replace(' ', '').replace('[', '').replace(']', '')


def test_a_mark_that_is_explained_is_said() -> None:
    assert spoken('The `<think>` tag and `</think>`. Yes') == ['The <think> tag and </think>.', 'Yes']


def test_before_a_mark_that_closes_nothing_nothing_more_is_said() -> None:
    assert spoken('I think</think>Hello.') == ['Hello.']
