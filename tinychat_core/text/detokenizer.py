# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
From token ids to text, one id at a time, in whole UTF-8 characters.

Every token is a fixed sequence of bytes, so the text is the UTF-8 decoding of their concatenation. (The
`tokenizers` library's DecodeStream instead decodes text again and again and waits while it ends in U+FFFD: an
answer that ends in a real U+FFFD, or in bytes that never become a character, would lose its end.)
"""
from __future__ import annotations

import codecs
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
import re
from typing import Any

from tinychat_core.errors import UnsupportedModelError

_BYTE_TOKEN = re.compile(r'<0x([0-9A-Fa-f]{2})>')


@dataclass(frozen=True)
class PieceTable:
    """The bytes of every token, as the `decoder` of a tokenizer.json means them."""

    bytes_of: Callable[[str], bytes]
    leading_spaces: int  # Taken off the beginning of a text.
    is_repeated: bool = False  # A space is also put before what follows an added token.
    space: str = ''  # SentencePiece's sign for one.

    @classmethod
    def of(cls, decoder: Mapping[str, Any] | None, normalizer: Mapping[str, Any] | None = None,
           pre_tokenizer: Mapping[str, Any] | None = None) -> PieceTable:
        """
        Read these entries of a tokenizer.json.

        The decoder is byte level, or SentencePiece's with or without byte fallback; the others tell where a space is
        put before a text. Raises UnsupportedModelError for another kind.
        """
        steps = _steps(decoder, 'decoders')
        byte_level = byte_fallback = False
        space = ''
        leading = 0
        for step in steps:
            kind = step['type']
            if kind == 'ByteLevel':
                byte_level = True
            elif kind == 'ByteFallback':
                byte_fallback = True
            elif kind == 'Replace' and step['content'] == ' ' and 'String' in step['pattern']:
                space = step['pattern']['String']
            elif kind == 'Metaspace':
                space = step['replacement']
                leading = 0 if step.get('prepend_scheme') == 'never' else 1
            elif kind == 'Strip' and step['content'] == ' ' and step['stop'] == 0:
                leading = step['start']
            elif kind != 'Fuse':
                raise UnsupportedModelError(f"the tokenizer's decoder has an unsupported step {kind}")
        if byte_level:
            before = any(step.get('add_prefix_space') for step in _steps(pre_tokenizer, 'pretokenizers'))
            return cls(_from_byte_level, 1 if before else leading, before)
        if space:
            before = any(step['type'] == 'Prepend' for step in _steps(normalizer, 'normalizers'))
            return cls(lambda token: _from_sentencepiece(token, space, byte_fallback), leading, before, space)
        raise UnsupportedModelError("the tokenizer's decoder is neither byte level nor SentencePiece's")


class Pieces:
    """The bytes of every token id, looked up once; shared by all detokenizers of a tokenizer."""

    def __init__(self, table: PieceTable, token_of: Callable[[int], str | None], hidden: Collection[int],
                 added: Mapping[int, bytes] | None = None, begins: Collection[int] = ()) -> None:
        """
        Take where the tokens' texts come from.

        `hidden`: control tokens, which have no text in an answer. Ids without a token (a vocabulary padded to
        a round number) have none either. `added`: what tokens beside the model's own vocabulary stand for.
        `begins`: those after which a text begins anew, with the space that is put before it.
        """
        self.leading_spaces = table.leading_spaces
        self.begins = frozenset(begins if table.is_repeated else ())
        self._table = table
        self._token_of = token_of
        self._cache = {**(added or {}), **dict.fromkeys(hidden, b'')}

    def __getitem__(self, token: int) -> bytes:
        """Return the bytes of a token; b'' for one that shows nothing."""
        piece = self._cache.get(token)
        if piece is None:
            text = self._token_of(token)
            piece = self._cache[token] = b'' if text is None else self._table.bytes_of(text)
        return piece


class Detokenizer:
    """
    Text of a stream of tokens: `''.join(push(id) for id in ids) + finish()` is `Tokenizer.decode(ids)`.

    Bytes that cannot be part of a character become U+FFFD, one for each maximal part (Unicode 15, section
    3.9), as soon as that is certain. Where SentencePiece puts a space before the first word of a text, it is
    taken off.
    """

    def __init__(self, pieces: Pieces, keep_leading_space: bool = False) -> None:
        """Start an empty text."""
        self._pieces = pieces
        self._decode = codecs.getincrementaldecoder('utf-8')(errors='replace').decode
        self._leading = 0 if keep_leading_space else pieces.leading_spaces
        self._begins = frozenset() if keep_leading_space else pieces.begins

    def push(self, token: int) -> str:
        """Return the characters that this token completes, possibly none."""
        text = self._decode(self._pieces[token])
        if token in self._begins:
            self._leading = self._pieces.leading_spaces
            return text
        return self._without_leading_spaces(text) if self._leading and text else text

    def finish(self) -> str:
        """Return U+FFFD where the text ends within a character, else nothing."""
        return self._decode(b'', True)

    def _without_leading_spaces(self, text: str) -> str:
        while self._leading and text.startswith(' '):
            text = text[1:]
            self._leading -= 1
        if text:
            self._leading = 0
        return text


def _steps(entry: Mapping[str, Any] | None, several: str) -> list[Mapping[str, Any]]:
    """Return the steps of an entry of a tokenizer.json, which may be a sequence of several."""
    if entry is None:
        return []
    return [step for one in entry[several] for step in _steps(one, several)] if several in entry else [entry]


def _byte_alphabet() -> dict[str, int]:
    """Return GPT-2's alphabet: printable Latin-1 is itself, the other bytes are U+0100 and on, in order."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + i): byte for i, byte in enumerate(others)}


_BYTES = _byte_alphabet()


def _from_byte_level(token: str) -> bytes:
    try:
        return bytes([_BYTES[character] for character in token])
    except KeyError:  # A token that was never encoded.
        return token.encode()


def _from_sentencepiece(token: str, space: str, byte_fallback: bool) -> bytes:
    if byte_fallback:
        byte = _BYTE_TOKEN.fullmatch(token)
        if byte:
            return bytes([int(byte[1], 16)])
    return token.replace(space, ' ').encode()
