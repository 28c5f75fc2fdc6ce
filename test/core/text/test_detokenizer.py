# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Incremental text: whole characters only, and nothing lost."""
from __future__ import annotations

from typing import Any

from hypothesis import given, strategies as st
import pytest
from reference.byte_pairs import BYTE_LETTERS
from tokenizers import decoders

from tinychat_core.errors import UnsupportedModelError
from tinychat_core.text.detokenizer import Detokenizer, Pieces, PieceTable

BYTE_LEVEL = {'type': 'ByteLevel', 'add_prefix_space': True, 'trim_offsets': True, 'use_regex': True}
STRIP = {'type': 'Strip', 'content': ' ', 'start': 1, 'stop': 0}
REPLACE = {'type': 'Replace', 'pattern': {'String': '▁'}, 'content': ' '}
LLAMA = {'type': 'Sequence', 'decoders': [REPLACE, {'type': 'ByteFallback'}, {'type': 'Fuse'}, STRIP]}
GEMMA = {'type': 'Sequence', 'decoders': [REPLACE, {'type': 'ByteFallback'}, {'type': 'Fuse'}]}
METASPACE = {'type': 'Metaspace', 'replacement': '▁', 'prepend_scheme': 'always', 'split': True}


def stream(decoder: Any, tokens: list[str]) -> list[str]:
    """Return what each token gives, then what the end gives."""
    detokenizer = Detokenizer(Pieces(PieceTable.of(decoder), lambda i: tokens[i], ()))
    return [detokenizer.push(i) for i in range(len(tokens))] + [detokenizer.finish()]


def byte_tokens(data: bytes, sizes: list[int]) -> list[str]:
    """Cut bytes into byte-level tokens of these sizes, the last one taking the rest."""
    tokens, at = [], 0
    for size in [*sizes, len(data)]:
        tokens.append(''.join(BYTE_LETTERS[byte] for byte in data[at:at + size]))
        at += size
    return tokens


@given(st.text(max_size=20), st.lists(st.integers(0, 3), max_size=40))
def test_any_cut_gives_the_same_text_in_whole_characters(text: str, sizes: list[int]) -> None:
    pieces = stream(BYTE_LEVEL, byte_tokens(text.encode(), sizes))
    assert ''.join(pieces) == text
    assert pieces[-1] == ''


@given(st.binary(max_size=20), st.lists(st.integers(0, 3), max_size=20))
def test_any_bytes_give_what_decoding_them_at_once_gives(data: bytes, sizes: list[int]) -> None:
    assert ''.join(stream(BYTE_LEVEL, byte_tokens(data, sizes))) == data.decode(errors='replace')


@given(st.binary(max_size=12))
def test_any_bytes_give_what_the_library_gives(data: bytes) -> None:
    tokens = byte_tokens(data, [1] * len(data))
    assert ''.join(stream(BYTE_LEVEL, tokens)) == decoders.ByteLevel().decode(tokens)


def test_an_emoji_over_several_tokens_comes_with_its_last_byte() -> None:
    assert stream(BYTE_LEVEL, byte_tokens('a🤖b'.encode(), [1, 1, 2, 1])) == ['a', '', '', '🤖', 'b', '']


def test_bytes_that_never_become_a_character_come_when_that_is_certain() -> None:
    assert stream(BYTE_LEVEL, byte_tokens(b'\xf0\x9fok', [1, 1, 1])) == ['', '', '\ufffdo', 'k', '']


def test_an_unfinished_character_is_replaced_at_the_end() -> None:
    assert stream(BYTE_LEVEL, byte_tokens(b'a\xf0\x9f', [1])) == ['a', '', '\ufffd']


def test_a_real_replacement_character_is_not_held_back() -> None:
    assert stream(BYTE_LEVEL, byte_tokens('\ufffd'.encode(), [])) == ['\ufffd', '']


def test_a_token_that_was_never_encoded_is_its_own_text() -> None:
    assert stream(BYTE_LEVEL, ['two spaces  ', '<｜end｜>']) == ['two spaces  ', '<｜end｜>', '']


@pytest.mark.parametrize('decoder, pieces', [
    (LLAMA, ['Hello', ' wor', 'ld', '']),
    (METASPACE, ['Hello', ' wor', 'ld', '']),
    ({**METASPACE, 'prepend_scheme': 'never'}, [' Hello', ' wor', 'ld', '']),
    (GEMMA, [' Hello', ' wor', 'ld', '']),
])
def test_sentencepiece_words_keep_their_spaces_but_the_first(decoder: Any, pieces: list[str]) -> None:
    assert stream(decoder, ['▁Hello', '▁wor', 'ld']) == pieces


def test_a_leading_space_of_its_own_token_is_taken_off_once() -> None:
    assert stream(LLAMA, ['▁', '▁', 'a']) == ['', ' ', 'a', '']


def test_a_space_after_the_first_character_stays() -> None:
    assert stream(LLAMA, ['a', '▁', 'b']) == ['a', ' ', 'b', '']


def test_byte_fallback_tokens_become_characters() -> None:
    tokens = ['▁', '<0xF0>', '<0x9F>', '<0xA4>', '<0x96>', '!']
    assert stream(LLAMA, tokens) == ['', '', '', '', '🤖', '!', '']


@given(st.lists(st.sampled_from(['▁', '▁a', 'b', 'é', '▁▁', '你']), max_size=8))
def test_sentencepiece_text_is_what_the_library_gives(tokens: list[str]) -> None:
    library = decoders.Sequence([decoders.Replace('▁', ' '), decoders.ByteFallback(), decoders.Fuse(),
                                 decoders.Strip(' ', 1, 0)])
    assert ''.join(stream(LLAMA, tokens)) == library.decode(tokens)


def test_control_tokens_and_ids_without_a_token_have_no_text() -> None:
    pieces = Pieces(PieceTable.of(BYTE_LEVEL), lambda i: ['<s>', 'a'][i] if i < 2 else None, {0})
    detokenizer = Detokenizer(pieces)
    assert [detokenizer.push(i) for i in (0, 1, 49999)] == ['', 'a', '']


@pytest.mark.parametrize('decoder', [None, {'type': 'WordPiece'},
                                     {'type': 'Sequence', 'decoders': [{'type': 'CTC'}]}])
def test_another_kind_of_decoder_is_refused(decoder: Any) -> None:
    with pytest.raises(UnsupportedModelError, match='decoder'):
        PieceTable.of(decoder)
