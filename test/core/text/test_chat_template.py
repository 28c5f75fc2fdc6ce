# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Chat templates: the functions that they count on, where they come from, and the sandbox."""
from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tinychat_core.errors import CheckpointError, InvalidParameterError
from tinychat_core.text.chat_template import ChatTemplate, load_template

MESSAGES = [{'role': 'user', 'content': 'Hi'}]


@pytest.mark.parametrize('source, text', [
    ('{% if true %}\nA\n{% endif %}\nB', 'A\nB'),
    ('  {% if true %}A{% endif %}', 'A'),
    ("{{ {'a': '<é>'} | tojson }}", '{"a": "<é>"}'),
    ('{% for m in messages %}{% break %}{% endfor %}x', 'x'),
    ('{% generation %}{{ messages[0].content }}{% endgeneration %}!', 'Hi!'),
    ('{{ bos_token }}{{ add_generation_prompt }}', '<s>True'),
    ('{% if tools %}T{% endif %}{% if documents is not none %}D{% endif %}', ''),
])
def test_it_renders_as_the_templates_expect(source: str, text: str) -> None:
    assert ChatTemplate(source, {'bos_token': '<s>'}).render(MESSAGES, True) == text


def test_it_knows_the_date() -> None:
    assert ChatTemplate("{{ strftime_now('%Y') }}", {}).render(MESSAGES, True) == str(datetime.now().year)


@pytest.mark.parametrize('source, said', [
    ("{{ raise_exception('roles must alternate') }}", 'roles must alternate'),
    ('{{ messages[7].content + 1 }}', 'refuses'),
    ("{{ messages.append('x') }}", 'refuses'),
    ("{{ ''.__class__.__mro__ }}", 'refuses'),
    ('{% for i in range(10**9) %}x{% endfor %}', 'refuses'),
    ('{{ 1 / 0 }}', 'refuses'),
])
def test_what_a_template_cannot_do_is_an_error_of_the_messages(source: str, said: str) -> None:
    with pytest.raises(InvalidParameterError, match=said):
        ChatTemplate(source, {}).render(MESSAGES, True)


def test_a_template_that_is_no_jinja_is_an_error_of_the_checkpoint() -> None:
    with pytest.raises(CheckpointError, match='not valid jinja'):
        ChatTemplate('{% if %}', {})


@pytest.mark.parametrize('config, source', [
    ({'chat_template': 'one'}, 'one'),
    ({'chat_template': [{'name': 'tool_use', 'template': 'x'}, {'name': 'default', 'template': 'y'}]}, 'y'),
    ({'chat_template': [{'name': 'tool_use', 'template': 'x'}]}, None),
    ({}, None),
])
def test_a_template_in_the_configuration_is_found(tmp_path: Path, config: dict[str, Any],
                                                  source: str | None) -> None:
    assert load_template(tmp_path, config) == source


def test_a_template_in_a_file_of_its_own_comes_first(tmp_path: Path) -> None:
    (tmp_path / 'chat_template.jinja').write_text('file', encoding='utf-8')
    assert load_template(tmp_path, {'chat_template': 'config'}) == 'file'


SPECIAL = {'bos_token': '<s>', 'eos_token': '</s>'}
DIALOGUE = [{'role': 'system', 'content': 'S'}, {'role': 'user', 'content': 'Q'},
            {'role': 'assistant', 'content': 'A'}, {'role': 'user', 'content': 'R'}]


@pytest.mark.parametrize('name, text', [
    ('vicuna-7b-v1.5', '<s>S USER: Q ASSISTANT: A</s>USER: R ASSISTANT:'),
    ('Llama-2-7b-chat-hf', '<s>[INST] <<SYS>>\nS\n<</SYS>>\n\nQ [/INST] A </s><s>[INST] R [/INST]'),
    ('mpt-7b-chat', '<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\nA'
                    '<|im_end|>\n<|im_start|>user\nR<|im_end|>\n<|im_start|>assistant\n'),
    ('falcon-7b-instruct', 'S\nUser: Q\nAssistant: A\nUser: R\nAssistant:'),
])
def test_a_model_older_than_templates_gets_its_own(tmp_path: Path, name: str, text: str) -> None:
    source = load_template(tmp_path, {}, name)
    assert source is not None and ChatTemplate(source, SPECIAL).render(DIALOGUE, True) == text


@pytest.mark.parametrize('name', ['vicuna-7b', 'mpt-30b-chat'])
def test_it_has_a_system_prompt_of_its_own(tmp_path: Path, name: str) -> None:
    source = load_template(tmp_path, {}, name)
    text = ChatTemplate(source or '', SPECIAL).render(MESSAGES, True)
    assert 'assistant gives helpful' in text


@pytest.mark.parametrize('name', ['Llama-2-7b-hf', 'mpt-7b', 'falcon-7b', 'some model'])
def test_a_base_model_gets_none(tmp_path: Path, name: str) -> None:
    assert load_template(tmp_path, {}, name) is None
