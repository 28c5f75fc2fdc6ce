# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A chat template is somebody's program: whatever it does, it ends soon, with one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinychat_core.errors import CheckpointError, InvalidParameterError
from tinychat_core.text.chat_template import ChatTemplate
from tinychat_core.text.tokenizer import Tokenizer

QUESTION = [{'role': 'user', 'content': 'Why maps?'}]
LOOP = '{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}'


@pytest.mark.parametrize(
    'source, reason',
    [
        (LOOP, 'takes more than 1 s'),
        (
            '{% set ns = namespace(s="x") %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}',
            'takes more than',
        ),
        ('{{ messages[0].content * 1000000000 }}', 'takes more than 256 MiB'),
        ("{{ '%1000000000d' | format(messages | length) }}", 'takes more than 256 MiB'),
        ('{{ messages[0].content.ljust(1000000000) }}', 'takes more than 256 MiB'),
        ('{{ (messages | length + 9) ** 10000000 ** 2 }}', 'takes more than'),
        ('{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}', 'RecursionError'),
        ('{{ messages | length + none }}', 'TypeError'),
        ("{{ messages[0].content | int('x') + 1 }}{{ [] | first | upper + 1 }}", 'refuses'),
        ('{{ strftime_now(1) }}', 'TypeError'),
        ("{{ raise_exception('a\\nb' * 9000) }}", r'a\\nba\\nb'),
        ('{{ messages[0].__class__.__mro__ }}', 'unsafe'),
    ],
)
def test_a_template_that_goes_wrong_refuses_the_messages_in_one_line(source: str, reason: str) -> None:
    with pytest.raises((CheckpointError, InvalidParameterError), match=reason) as refusal:
        ChatTemplate(source, {}).render(QUESTION, True)
    assert '\n' not in str(refusal.value) and len(str(refusal.value)) < 1100
    assert ChatTemplate('{{ messages[0].content }}', {}).render(QUESTION, True) == 'Why maps?'


@pytest.mark.parametrize(
    'source',
    [
        '{% if %}',
        '{{ x.y.z( }}',
        '{% for i in %}',
        '{{ 1 | nofilter }}',
        '{% nonsense %}',
        '{{ ' + '(' * 5000 + ')' * 5000 + ' }}',
        '{% if a %}' * 2000 + '{% endif %}' * 2000,
        '{% break %}',
        '{{ a ' + '+ a' * 20000 + ' }}',
        "{{ 'x' * 10 ** 10 }}",
        '{% set break = 1 %}{% continue %}',
        "{% include 'x' %}{% macro %}",
    ],
)
def test_a_template_that_cannot_be_compiled_is_one_line_of_the_checkpoint(source: str) -> None:
    try:
        template = ChatTemplate(source, {})
    except CheckpointError as refusal:
        assert str(refusal).startswith('the chat template ') and '\n' not in str(refusal)
    else:  # what only shows when it runs
        with pytest.raises(InvalidParameterError):
            template.render(QUESTION, True)


def test_a_checkpoint_with_such_a_template_opens_in_bounded_time(smollm2_checkpoint: Path, tmp_path: Path) -> None:
    for name in ('tokenizer.json', 'tokenizer_config.json', 'config.json'):
        if (smollm2_checkpoint / name).is_file():
            (tmp_path / name).write_bytes((smollm2_checkpoint / name).read_bytes())
    (tmp_path / 'chat_template.jinja').write_text(LOOP)
    with pytest.raises(CheckpointError, match='the chat template is too complex'):
        Tokenizer.open(tmp_path)


def test_what_only_some_messages_make_too_long_is_an_error_of_theirs() -> None:
    loop = LOOP.replace('90000', "(90000 if 'many' in messages[0].content else 9)")
    template = ChatTemplate(loop + '{{ messages[0].content }}', {})
    with pytest.raises(InvalidParameterError, match='too complex for these messages: it takes more than 1 s'):
        template.render([{'role': 'user', 'content': 'many'}], True)
    assert template.render(QUESTION, True) == 'Why maps?'
