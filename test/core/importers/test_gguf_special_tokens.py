# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Special tokens of GGUF files whose types, keys or vocabularies are wrong; right ones are held to llama.cpp."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from reference.gguf_vocabularies import (
    byte_level,
    CHATML,
    CONTROL,
    layouts,
    NORMAL,
    sentencepiece,
    spelt,
    UNKNOWN,
    USER_DEFINED,
)

from tinychat_core.errors import TinyChatError
from tinychat_core.importers.gguf_tokenizer import tokenizer_files
from tinychat_core.text.tokenizer import Tokenizer

LAYOUTS = layouts()
TURN = ("{% for m in messages %}{{ '<turn>' + m['content'] + '[END] ' }}{% endfor %}")
QWEN = {'<|endoftext|>': CONTROL, '<|im_start|>': CONTROL, '<|im_end|>': CONTROL, '<|fim_pad|>': CONTROL}


def opened(directory: Path, metadata: dict[str, Any]) -> Tokenizer:
    directory.mkdir(exist_ok=True)
    for name, text in tokenizer_files(metadata).items():
        (directory / name).write_text(text, encoding='utf-8')
    return Tokenizer.open(directory)


def ids_of(tokenizer: Tokenizer, *tokens: str) -> set[int]:
    return {id_ for token in tokens for id_ in tokenizer.encode(token, parse_special=True, add_bos=False)}


def with_types(metadata: dict[str, Any], kind: int) -> dict[str, Any]:
    """Return the file with one type for all that are control tokens or defined by its makers."""
    types = [kind if given in (CONTROL, USER_DEFINED) else given for given in metadata['tokenizer.ggml.token_type']]
    return {**metadata, 'tokenizer.ggml.token_type': types}


@pytest.mark.parametrize('kind', [NORMAL, USER_DEFINED])
@pytest.mark.parametrize('name', ['qwen 2', 'phi 4', 'llama 3', 'llama 2', 'phi 3'])
def test_wrong_types_change_nothing(tmp_path: Path, core_log: pytest.LogCaptureFixture, name: str, kind: int) -> None:
    metadata = {**LAYOUTS[name], 'tokenizer.chat_template': CHATML + '{#<think></think></s>#}'}
    if name in ('llama 2', 'phi 3'):
        metadata |= {'tokenizer.ggml.bos_token_id': 1, 'tokenizer.ggml.eos_token_id': 2}
    right, wrong = opened(tmp_path / 'right', metadata), opened(tmp_path / 'wrong', with_types(metadata, kind))
    assert len([record for record in core_log.records if 'they are used as special tokens' in record.message]) == 1
    assert right.control_ids - ids_of(right, '<s>') == wrong.control_ids - ids_of(right, '<s>')
    assert right.stop_ids == wrong.stop_ids
    if kind == USER_DEFINED and name in ('llama 2', 'phi 3'):
        return  # <s> is HTML's where the file says so
    for text in spelt(metadata, ['text between']):
        for parse in (False, True):
            assert right.encode(text, parse_special=parse) == wrong.encode(text, parse_special=parse), text


def test_a_gemma_whose_turns_are_called_text(tmp_path: Path, core_log: pytest.LogCaptureFixture) -> None:
    right = LAYOUTS['gemma']
    wrong = {**right, 'tokenizer.ggml.token_type': [
        NORMAL if kind == CONTROL else kind for kind in right['tokenizer.ggml.token_type']]}
    one, other = opened(tmp_path / 'right', right), opened(tmp_path / 'wrong', wrong)
    assert len(core_log.records) == 1
    assert (one.control_ids, one.stop_ids) == (other.control_ids, other.stop_ids)
    for text in spelt(right, ['text between']):
        assert one.encode(text, parse_special=True) == other.encode(text, parse_special=True), text


def test_a_file_without_types_is_read_by_names_and_template(tmp_path: Path) -> None:
    metadata = byte_level('qwen2', QWEN, eos_token_id='<|im_end|>', template=CHATML)
    del metadata['tokenizer.ggml.token_type']
    tokenizer = opened(tmp_path, metadata)
    assert tokenizer.encode_chat([{'role': 'user', 'content': ''}], False)[0] == 1


@pytest.mark.parametrize('key', ['eos', 'eot', 'eom'])
def test_a_key_that_names_the_end_makes_it_a_control_token(tmp_path: Path, key: str) -> None:
    tokenizer = opened(tmp_path, byte_level('qwen2', {'@end@': NORMAL}, **{f'{key}_token_id': '@end@'}))
    assert tokenizer.control_ids == {0} and 0 not in tokenizer.encode('a @end@')


def test_what_the_template_writes_is_a_control_token_if_it_looks_like_one(tmp_path: Path) -> None:
    special = {'<turn>': NORMAL, '[END]': NORMAL, 'END': NORMAL, '<other>': NORMAL}
    tokenizer = opened(tmp_path, byte_level('qwen2', special, template=TURN))
    assert tokenizer.control_ids == {0, 1}
    assert tokenizer.encode_chat([{'role': 'user', 'content': '<turn>'}], False)[-2:] == [
        1, *tokenizer.encode(' ')]


def test_thoughts_that_the_template_writes_are_one_token_and_shown(tmp_path: Path) -> None:
    tokenizer = opened(tmp_path, byte_level('qwen2', {'<think>': NORMAL}, template='<think>'))
    assert tokenizer.encode('<think>') == [0] and tokenizer.decode([0]) == '<think>'


def test_every_token_that_ends_an_answer_by_its_name_does(tmp_path: Path) -> None:
    ends = ['<|endoftext|>', '<|end_of_text|>', '<|eot_id|>', '<|eom_id|>', '<|im_end|>', '<|end|>', '<end_of_turn>',
            '</s>', '<|return|>', '<|eot|>', '<eos>', '<end_of_utterance>', '<｜end▁of▁sentence｜>']
    others = ['<|fim_pad|>', '<|fim_middle|>', '<|file_sep|>', '<|repo_name|>', '<pad>', '<|pad|>', '<|im_start|>',
              '<|channel|>']
    tokenizer = opened(tmp_path, byte_level('qwen2', dict.fromkeys([*ends, *others], CONTROL)))
    assert tokenizer.stop_ids == ids_of(tokenizer, *ends)


def test_the_end_of_a_part_does_not_end_an_answer(tmp_path: Path) -> None:
    harmony = dict.fromkeys(['<|end|>', '<|return|>', '<|call|>'], CONTROL)
    tokenizer = opened(tmp_path, byte_level('gpt-4o', harmony))
    assert tokenizer.stop_ids == ids_of(tokenizer, '<|return|>', '<|call|>')


def test_qwen_2_ends_at_both_its_ends(tmp_path: Path) -> None:
    tokenizer = opened(tmp_path, byte_level('qwen2', QWEN, bos_token_id='<|endoftext|>', eos_token_id='<|im_end|>',
                                            padding_token_id='<|endoftext|>'))
    assert tokenizer.stop_ids == ids_of(tokenizer, '<|im_end|>', '<|endoftext|>')


def test_markup_that_is_called_an_end_is_shown(tmp_path: Path) -> None:
    gemma = {'<eos>': CONTROL, '<bos>': CONTROL, '<unk>': UNKNOWN, '<s>': USER_DEFINED, '</s>': USER_DEFINED}
    tokenizer = opened(tmp_path, sentencepiece(gemma, bos_token_id='<bos>', eos_token_id='<eos>',
                                               unknown_token_id='<unk>', add_space_prefix=False))
    assert tokenizer.stop_ids == {0} and tokenizer.decode(tokenizer.encode('a <s>b</s>')) == 'a <s>b</s>'


def test_white_space_behind_special_tokens_of_phi_3_is_swallowed(tmp_path: Path) -> None:
    tokenizer = opened(tmp_path, LAYOUTS['phi 3'])
    assert tokenizer.encode('<|user|>\nHi<|end|>\n<|assistant|>\n', parse_special=True) == tokenizer.encode(
        '<|user|>Hi<|end|><|assistant|>', parse_special=True)


@pytest.mark.parametrize('named', [{}, {'pre': 'default'}])
def test_a_missing_way_to_cut_words_is_said(tmp_path: Path, core_log: pytest.LogCaptureFixture,
                                            named: dict[str, str]) -> None:
    opened(tmp_path, byte_level(named.get('pre'), {}))
    assert ['does not name its pre-tokenizer' in record.message for record in core_log.records] == (
        [] if named else [True])


def test_a_wanted_token_that_is_missing_is_said(tmp_path: Path, core_log: pytest.LogCaptureFixture) -> None:
    opened(tmp_path, byte_level('gpt-2', {}, add_bos_token=True))
    assert [record.message for record in core_log.records] == [
        'the GGUF file asks for a bos token but does not define one: it is left out']


@pytest.mark.parametrize(('changes', 'said'), [
    ({'tokens': ['a', 'a']}, 'the tokens 0 and 1 are both'),
    ({'tokens': ['a', 'b'], 'eos_token_id': 2}, 'eos_token_id is 2'),
    ({'tokens': ['a', 'b'], 'eos_token_id': True}, 'eos_token_id is True'),
    ({'tokens': ['a', 'b'], 'token_type': [1]}, '2 tokens have 1 types'),
    ({'tokens': ['a', 'b'], 'scores': [0.0]}, 'damaged'),
    ({'tokens': ['a', ['b']]}, 'damaged'),
    ({'tokens': ['a' * i for i in range(1, 5000)]}, 'a token has 4999 characters'),
    ({'tokens': ['a' * i for i in range(1, 250)]}, 'can be merged in too many ways'),
])
def test_a_damaged_vocabulary_is_one_line(changes: dict[str, Any], said: str) -> None:
    count = len(changes['tokens'])
    metadata = {'tokenizer.ggml.model': 'llama', 'tokenizer.ggml.scores': [float(i) for i in range(count)],
                **{f'tokenizer.ggml.{key}': value for key, value in changes.items()}}
    with pytest.raises(TinyChatError, match=said):
        tokenizer_files(metadata)


def test_equal_scores_are_said(core_log: pytest.LogCaptureFixture) -> None:
    metadata = sentencepiece({'<unk>': UNKNOWN, '<s>': CONTROL, '</s>': CONTROL})
    metadata['tokenizer.ggml.scores'] = [0.0] * len(metadata['tokenizer.ggml.tokens'])
    tokenizer_files(metadata)
    assert any('the same score' in record.message for record in core_log.records)
