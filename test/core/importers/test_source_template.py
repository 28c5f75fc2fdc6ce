# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The chat template of an imported model: its own, a chosen one, or none, which is said."""
from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_huggingface import save, tensors
import tiny_llama
import torch

from tinychat_core.cli import main
from tinychat_core.errors import TinyChatError
from tinychat_core.importers import import_model
from tinychat_core.text.named_templates import named_template
from tinychat_core.text.tokenizer import Tokenizer

MESSAGES = [{'role': 'user', 'content': 'Hi'}]


def gguf(tmp_path: Path, template: str | None = None, name: str = 'tiny') -> str:
    return str(tiny_llama.save(tmp_path / f'{name}.gguf', tiny_llama.tensors(), tokenizer__chat_template=template))


def directory(tmp_path: Path, config: str = '{"eos_token": "<|end|>"}', name: str = 'theirs') -> Path:
    made = save(tmp_path / name, tensors(torch.float16))
    (made / 'tokenizer_config.json').write_text(config)
    return made


@pytest.mark.parametrize('kind', ['gguf', 'directory'])
def test_none_is_said_once(tmp_path: Path, kind: str, core_log: pytest.LogCaptureFixture) -> None:
    import_model(gguf(tmp_path) if kind == 'gguf' else str(directory(tmp_path)), tmp_path / 'out')
    said = 'has no chat template: to chat with it, set one with --chat-template (a file, or alpaca'
    assert core_log.text.count(said) == 1
    with pytest.raises(TinyChatError, match='this model has no chat template'):
        Tokenizer.open(tmp_path / 'out').encode_chat(MESSAGES)


def test_a_null_does_not_hide_the_template_of_its_own_file(tmp_path: Path, core_log: pytest.LogCaptureFixture) -> None:
    made = directory(tmp_path, '{"eos_token": "<|end|>", "chat_template": null}')
    (made / 'chat_template.json').write_text(json.dumps({'chat_template': named_template('chatml')}))
    import_model(str(made), tmp_path / 'out')
    assert Tokenizer.open(tmp_path / 'out').encode_chat(MESSAGES)
    assert 'chat template' not in core_log.text


@pytest.mark.parametrize('kind', ['gguf', 'directory'])
def test_a_chosen_one_takes_the_place_of_the_model_s(tmp_path: Path, kind: str) -> None:
    source = gguf(tmp_path, 'of the model') if kind == 'gguf' else str(
        directory(tmp_path, '{"chat_template": "of the model"}'))
    (tmp_path / 'mine.jinja').write_text('{% for m in messages %}{{ m.content }}!{% endfor %}')
    import_model(source, tmp_path / 'out', chat_template=str(tmp_path / 'mine.jinja'))
    tokenizer = Tokenizer.open(tmp_path / 'out')
    assert tokenizer.decode(tokenizer.encode_chat(MESSAGES)) == 'Hi!'


def test_a_name(tmp_path: Path, core_log: pytest.LogCaptureFixture) -> None:
    assert main(['import', gguf(tmp_path), str(tmp_path / 'out'), '--chat-template', 'chatml']) == 0
    assert (tmp_path / 'out' / 'chat_template.jinja').read_text() == named_template('chatml')
    tokenizer = Tokenizer.open(tmp_path / 'out')
    ids = tokenizer.encode_chat(MESSAGES)
    assert ids[0] == 1 and 2 in ids and 2 in tokenizer.stop_ids  # <|im_start|> and <|im_end|>, as tokens
    assert not core_log.text


def test_tokens_that_the_vocabulary_lacks_are_said(tmp_path: Path, core_log: pytest.LogCaptureFixture) -> None:
    import_model(str(directory(tmp_path)), tmp_path / 'out', chat_template='gemma')
    assert 'does not have the tokens <start_of_turn>, <end_of_turn> of the chat template gemma' in core_log.text


def test_a_name_that_tells_the_template(tmp_path: Path, core_log: pytest.LogCaptureFixture) -> None:
    import_model(gguf(tmp_path, name='vicuna-7b-v1.5'), tmp_path / 'out')
    assert "has no chat template; the one of vicuna is used because of the model's name" in core_log.text
    assert (tmp_path / 'out' / 'chat_template.jinja').read_text() == named_template('vicuna')


@pytest.mark.parametrize(('content', 'reason'), [
    (b'{% for', 'is not valid jinja'), (b'{{ raise_exception("no") }}', 'refuses these messages'),
    (b'{"chat_template": "{{ messages }}"}', 'is JSON; give a file with the template alone'),
    (b'', "it does not write the user's message"), (b'\xff\xfe', 'is not a UTF-8 text file'),
    (None, 'is neither a file nor the name of a chat template; the names are alpaca, chatml')])
def test_what_is_no_template(tmp_path: Path, content: bytes | None, reason: str) -> None:
    if content is not None:
        (tmp_path / 'mine.jinja').write_bytes(content)
    with pytest.raises(TinyChatError) as caught:
        import_model(gguf(tmp_path, '{{ messages }}'), tmp_path / 'out', chat_template=str(tmp_path / 'mine.jinja'))
    assert reason in str(caught.value) and not (tmp_path / 'out').exists()


def test_a_template_of_the_model_that_is_not_valid(tmp_path: Path) -> None:
    source = str(directory(tmp_path, json.dumps({'chat_template': '{% for'})))
    with pytest.raises(TinyChatError, match='is not valid jinja'):
        import_model(source, tmp_path / 'out')
    import_model(source, tmp_path / 'out', chat_template='zephyr')
