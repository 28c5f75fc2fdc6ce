# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Marks of thoughts, and the switch for them, found in chat templates."""

from __future__ import annotations

import pytest

from tinychat_core.text.thoughts import begins_thought, is_mark, thinking_switch, thought_marks, ThoughtMarks


@pytest.mark.parametrize(('template', 'tokens', 'marks'), [
    ("{{ '<think>' }}{{ content.split('</think>')[-1] }}", [], ThoughtMarks('<think>', '</think>')),
    ("{{ content.split('</think>')[-1] }}", [], ThoughtMarks('<think>', '</think>')),
    ("{{ '[THINK]' + thoughts + '[/THINK]' }}", [], ThoughtMarks('[THINK]', '[/THINK]')),
    ("{{ '<|START_THINKING|><|END_THINKING|>' }}", [], ThoughtMarks('<|START_THINKING|>', '<|END_THINKING|>')),
    ('', ['<think>', '</think>', '<tool_call>'], ThoughtMarks('<think>', '</think>')),
    ('{{ message.content }}', ['<|im_end|>'], None),
])
def test_marks_are_those_of_the_template_or_the_vocabulary(
        template: str, tokens: list[str], marks: ThoughtMarks | None) -> None:
    assert thought_marks(template, tokens) == marks


@pytest.mark.parametrize(('template', 'switch'), [
    ('{%- if enable_thinking is defined and enable_thinking is false %}', 'enable_thinking'),
    ('{%- if available_tools %}x{%- elif thinking %}', 'thinking'),
    ('{{ message.thinking }}', ''),
    ('{% if message.content %}enable_thinking{% endif %}', ''),
])
def test_the_switch_is_a_variable_that_the_template_asks_for(template: str, switch: str) -> None:
    assert thinking_switch(template) == switch


def test_a_prompt_may_begin_a_thought() -> None:
    assert begins_thought('…assistant\n<think>\n') and begins_thought('[THINK]')
    assert not begins_thought('<think></think>\n') and not begins_thought('<tool_call>')


@pytest.mark.parametrize('token', ['<think>', '[/THINK]', '[TOOL_CALLS]', '[ARGS]', '<|tool_call|>', '<｜tool▁sep｜>'])
def test_marks_are_shown_in_an_answer(token: str) -> None:
    assert is_mark(token)


@pytest.mark.parametrize('token', ['', '<|im_end|>', '</s>', '[INST]'])
def test_other_control_tokens_are_not(token: str) -> None:
    assert not is_mark(token)
