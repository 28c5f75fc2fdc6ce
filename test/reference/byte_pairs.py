# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Byte-level byte-pair encoding (Sennrich et al. 2016, as in GPT-2) from a GGUF file, as plain as can be."""
from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
import struct
from typing import Any, BinaryIO

import regex

_SCALARS = {0: 'B', 1: 'b', 2: 'H', 3: 'h', 4: 'I', 5: 'i', 6: 'f', 7: '?', 10: 'Q', 11: 'q', 12: 'd'}
_STRING, _ARRAY = 8, 9
# GPT-2's words; digits have been taken out one by one before.
_WORD = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")

_PLAIN = [byte for byte in range(256) if 0x21 <= byte <= 0x7E or 0xA1 <= byte <= 0xAC or byte >= 0xAE]
_OTHERS = [byte for byte in range(256) if byte not in _PLAIN]
# GPT-2's letter for each byte.
BYTE_LETTERS = {byte: chr(byte) for byte in _PLAIN} | {byte: chr(256 + i) for i, byte in enumerate(_OTHERS)}


def metadata(path: Path) -> dict[str, Any]:
    """Return the key-value pairs of a GGUF file (version 2 or 3, little-endian)."""
    with path.open('rb') as file:
        magic, version, _, count = struct.unpack('<4sIQQ', file.read(24))
        assert magic == b'GGUF' and version in (2, 3)
        return {_string(file): _value(file, _number(file, 'I')) for _ in range(count)}


def smollm_words(text: str) -> list[str]:
    """Return SmolLM2's words: GPT-2's, and every digit is a word of its own."""
    return [word for part in regex.split(r'(\p{N})', text) for word in _WORD.findall(part)]


class BytePairs:
    """The tokenizer of a GGUF file, control tokens left out."""

    def __init__(self, path: Path, words: Callable[[str], list[str]] = smollm_words, whole: bool = False) -> None:
        """Read the vocabulary and the merges; `whole`: a word that is a token is not taken apart."""
        pairs = metadata(path)
        self._words, self._whole = words, whole
        self._id = {token: i for i, token in enumerate(pairs['tokenizer.ggml.tokens'])}
        self._rank = {tuple(merge.split(' ')): i for i, merge in enumerate(pairs['tokenizer.ggml.merges'])}
        self._known: dict[str, list[int]] = {}

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text in which nothing is a control token."""
        ids = []
        for word in self._words(text):
            if word not in self._known:
                letters = [BYTE_LETTERS[byte] for byte in word.encode()]
                token = self._id.get(''.join(letters)) if self._whole else None
                self._known[word] = self._merge(letters) if token is None else [token]
            ids += self._known[word]
        return ids

    def _merge(self, parts: list[str]) -> list[int]:
        while len(parts) > 1:
            ranks = [self._rank.get(pair, len(self._rank)) for pair in pairwise(parts)]
            best = min(ranks)
            if best == len(self._rank):
                break
            at = ranks.index(best)
            parts[at:at + 2] = [parts[at] + parts[at + 1]]
        # The vocabulary lacks a few rare bytes.
        return [self._id[part] for part in parts if part in self._id]


def _number(file: BinaryIO, form: str) -> Any:
    return struct.unpack(f'<{form}', file.read(struct.calcsize(form)))[0]


def _string(file: BinaryIO) -> str:
    return file.read(_number(file, 'Q')).decode()


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == _STRING:
        return _string(file)
    if kind == _ARRAY:
        item = _number(file, 'I')
        return [_value(file, item) for _ in range(_number(file, 'Q'))]
    return _number(file, _SCALARS[kind])
