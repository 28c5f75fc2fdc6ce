# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What is said of a directory's tokenizer files; that their ids are transformers' is held in test/reference."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from reference.tokenizer_directories import CHATML, vocabularies
import small_huggingface as small
import torch

from tinychat_core.errors import CheckpointError, TinyChatError
from tinychat_core.importers import import_model
from tinychat_core.text.tokenizer import Tokenizer

VOCABULARIES = vocabularies()


def directory(where: Path, vocabulary: str, **config: Any) -> Path:
    (where / 'tokenizer.json').write_text(json.dumps(VOCABULARIES[vocabulary]), encoding='utf-8')
    (where / 'tokenizer_config.json').write_text(json.dumps(config), encoding='utf-8')
    return where


def said(log: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in log.records]


@pytest.mark.parametrize(('vocabulary', 'name', 'warns'), [
    ('smollm', 'GPT2Tokenizer', True), ('gpt 2', 'GPT2TokenizerFast', False), ('qwen 2', 'Qwen2Tokenizer', False),
    ('llama 3', 'Qwen2Tokenizer', True), ('llama 2', 'LlamaTokenizer', False), ('gemma', 'LlamaTokenizer', True),
    ('gpt 2', 'GPTNeoXTokenizer', True), ('llama 3', 'LlamaTokenizerFast', False)])
def test_a_class_that_cuts_another_way_is_said(tmp_path: Path, core_log: pytest.LogCaptureFixture, vocabulary: str,
                                               name: str, warns: bool) -> None:
    Tokenizer.open(directory(tmp_path, vocabulary, tokenizer_class=name))
    assert ['splits text differently from tokenizer.json' in line for line in said(core_log)] == [True] * warns


def test_the_file_can_be_taken_as_it_is(tmp_path: Path, core_log: pytest.LogCaptureFixture) -> None:
    plain = Tokenizer.open(directory(tmp_path, 'smollm')).encode('123456')
    other = Tokenizer.open(directory(tmp_path, 'smollm', tokenizer_class='GPT2Tokenizer')).encode('123456')
    told = Tokenizer.open(directory(tmp_path, 'smollm', tokenizer_class='GPT2Tokenizer', tokenizer_json='complete'))
    assert told.encode('123456') == plain != other


def test_an_unknown_class_is_said(tmp_path: Path, core_log: pytest.LogCaptureFixture) -> None:
    Tokenizer.open(directory(tmp_path, 'llama 2', tokenizer_class='CodeLlamaTokenizer'))
    assert said(core_log) == [
        "tokenizer_config.json names the unknown class 'CodeLlamaTokenizer': tokenizer.json is used as it is"]


def test_tokens_with_other_ids_are_said(tmp_path: Path, core_log: pytest.LogCaptureFixture) -> None:
    Tokenizer.open(directory(tmp_path, 'llama 3', added_tokens_decoder={'9999': {'content': '<|far|>'}}))
    assert ["first '<|far|>': they get the next free ids" in line for line in said(core_log)] == [True]


def test_an_ordinary_pad_token_stays_text(tmp_path: Path, core_log: pytest.LogCaptureFixture) -> None:
    tokenizer = Tokenizer.open(directory(tmp_path, 'llama 3', pad_token='!'))
    assert tokenizer.decode(tokenizer.encode('Hi!')) == 'Hi!' and 'is treated as text' in said(core_log)[0]


def test_special_tokens_that_are_to_be_spelt_are_said(tmp_path: Path, core_log: pytest.LogCaptureFixture) -> None:
    Tokenizer.open(directory(tmp_path, 'llama 3', split_special_tokens=True))
    assert 'split_special_tokens is ignored' in said(core_log)[0]


@pytest.mark.parametrize(('old', 'named'), [
    (['vocab.json', 'merges.txt'], 'vocab.json and merges.txt'), (['tokenizer.model'], 'tokenizer.model'),
    (['tekken.json'], 'tekken.json')])
def test_older_files_are_named_with_what_to_do(tmp_path: Path, old: list[str], named: str) -> None:
    for name in old:
        (tmp_path / name).touch()
    with pytest.raises(CheckpointError, match=f'has {named}, but no tokenizer.json; make one with transformers'):
        Tokenizer.open(tmp_path)


@pytest.mark.parametrize('config', [
    {'added_tokens_decoder': []}, {'added_tokens_decoder': {'x': {'content': '<a>'}}},
    {'added_tokens_decoder': {'1': '<a>'}}, {'added_tokens_decoder': {'1': {}}},
    {'added_tokens_decoder': {'1': {'content': 5}}}])
def test_damaged_entries_are_one_line(tmp_path: Path, config: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match='does not match the other files'):
        Tokenizer.open(directory(tmp_path, 'llama 3', **config))


@pytest.mark.parametrize('config', [
    {'tokenizer_class': 5}, {'bos_token': 5}, {'additional_special_tokens': 'x'}, {'extra_special_tokens': [5, None]},
    {'add_prefix_space': 'x'}, {'tokenizer_class': ['x']}])
def test_entries_of_another_kind_say_nothing(tmp_path: Path, config: dict[str, Any]) -> None:
    assert Tokenizer.open(directory(tmp_path, 'llama 3', **config)).encode('a')


def test_a_frame_of_tokens_that_are_not_there_is_one_line(tmp_path: Path) -> None:
    made = json.loads(json.dumps(VOCABULARIES['llama 2']))
    made['post_processor'] |= {'special_tokens': {}}
    (tmp_path / 'tokenizer.json').write_text(json.dumps(made), encoding='utf-8')
    with pytest.raises(CheckpointError, match='is not a tokenizer'):
        Tokenizer.open(tmp_path)


def imported(source: Path, out: Path) -> Tokenizer:
    import_model(str(source), out)
    return Tokenizer.open(out)


def test_special_tokens_of_the_configuration_come_through_the_import(tmp_path: Path) -> None:
    source = small.save(tmp_path / 'theirs', small.tensors(torch.float16))
    config = json.loads((source / 'tokenizer_config.json').read_text())
    config['added_tokens_decoder'] = {'300': {'content': '<|new|>', 'special': True}}
    (source / 'tokenizer_config.json').write_text(json.dumps(config))
    assert len(imported(source, tmp_path / 'out').encode('<|new|>', parse_special=True, add_bos=False)) == 1


def test_the_default_of_several_templates_comes_through_the_import(tmp_path: Path) -> None:
    source = small.save(tmp_path / 'theirs', small.tensors(torch.float16))
    (source / 'chat_template.jinja').write_text('not this one')
    (source / 'additional_chat_templates').mkdir()
    (source / 'additional_chat_templates' / 'default.jinja').write_text(CHATML)
    tokenizer = imported(source, tmp_path / 'out')
    assert 'user\nx' in tokenizer.decode(tokenizer.encode_chat([{'role': 'user', 'content': 'x'}]))


def test_a_tokenizer_that_does_not_load_is_not_imported(tmp_path: Path) -> None:
    source = small.save(tmp_path / 'theirs', small.tensors(torch.float16))
    content = json.loads((source / 'tokenizer.json').read_text())
    content['decoder'] = {'type': 'WordPiece', 'prefix': '##', 'cleanup': False}
    (source / 'tokenizer.json').write_text(json.dumps(content))
    with pytest.raises(TinyChatError, match='WordPiece'):
        import_model(str(source), tmp_path / 'out')
