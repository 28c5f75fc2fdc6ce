# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
The GGUF container, versions 2 and 3 (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md).

Tensors keep their stored integers and scales wherever one of our formats can represent them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
import logging
from math import prod
import mmap
from pathlib import Path
import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from tinychat_core.checkpoint.linear import Linear
from tinychat_core.errors import TinyChatError, UnsupportedModelError
from tinychat_core.importers import gguf_blocks
from tinychat_core.regular_file import check_regular

_log = logging.getLogger(__name__)

# Scalar types of metadata: GGUF's number -> the format character of struct.
_SCALARS = {0: 'B', 1: 'b', 2: 'H', 3: 'h', 4: 'I', 5: 'i', 6: 'f', 7: '?', 10: 'Q', 11: 'q', 12: 'd'}
_STRING, _ARRAY = 8, 9

# Names of ggml's tensor types.
_TYPE_NAMES = {0: 'F32', 1: 'F16', 2: 'Q4_0', 3: 'Q4_1', 6: 'Q5_0', 7: 'Q5_1', 8: 'Q8_0', 9: 'Q8_1',
               10: 'Q2_K', 11: 'Q3_K', 12: 'Q4_K', 13: 'Q5_K', 14: 'Q6_K', 15: 'Q8_K', 16: 'IQ2_XXS',
               17: 'IQ2_XS', 18: 'IQ3_XXS', 19: 'IQ1_S', 20: 'IQ4_NL', 21: 'IQ3_S', 22: 'IQ2_S', 23: 'IQ4_XS',
               24: 'I8', 25: 'I16', 26: 'I32', 27: 'I64', 28: 'F64', 29: 'IQ1_M', 30: 'BF16', 31: 'Q4_0_4_4',
               32: 'Q4_0_4_8', 33: 'Q4_0_8_8', 34: 'TQ1_0', 35: 'TQ2_0', 36: 'IQ4_NL_4_4', 37: 'IQ4_NL_4_8',
               38: 'IQ4_NL_8_8', 39: 'MXFP4', 40: 'NVFP4', 41: 'Q1_0'}
# Elements and bytes of a block, for the supported types.
_BLOCKS = {'F32': (1, 4), 'F64': (1, 8), 'F16': (1, 2), 'BF16': (1, 2), 'Q4_0': (32, 18), 'Q4_1': (32, 20),
           'Q8_0': (32, 34), **gguf_blocks.BLOCKS}
# Types without blocks: our format and the numpy type.
_PLAIN: dict[str, tuple[str, type[np.generic]]] = {
    'F16': ('f16', np.float16), 'BF16': ('bf16', np.uint16), 'F32': ('f32', np.float32), 'F64': ('f32', np.float64)}

# Limits of llama.cpp, or above any real file: a larger count is damage, and nothing is allocated for it.
_LARGEST_RANK = 4  # GGML_MAX_DIMS
_LONGEST_ARRAY = 1 << 24
_LONGEST_TEXT = 1 << 26
# Minimum bytes of a metadata entry, of a tensor's entry and of an array item.
_SMALLEST_KEY, _SMALLEST_INFO, _SMALLEST_ITEM = 13, 32, 8


@dataclass(frozen=True)
class _Info:
    shape: tuple[int, ...]  # the width comes last
    kind: str
    offset: int
    length: int  # bytes


class GgufFile:
    """An open GGUF file: `metadata` by key, tensors by name."""

    def __init__(self, path: Path, said: set[str]) -> None:
        """
        Map and parse the file; TinyChatError where it is no GGUF or ends too early.

        `said`: types whose warning has been logged; the parts of a model share it.
        """
        self.path = path
        self.metadata: dict[str, Any] = {}
        self._infos: dict[str, _Info] = {}
        self._said = said
        check_regular(path)
        try:
            with open(path, 'rb') as file:
                self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise TinyChatError(f'cannot read {path}: {error}') from None
        self._position = 0
        try:
            self._parse()
        except (struct.error, ValueError, ArithmeticError, MemoryError, RecursionError, TypeError):
            raise TinyChatError(f'{path} is damaged: its header ends too early or is not readable') from None

    def forget(self) -> None:
        """Release the pages that were read; they are read again on demand."""
        self._data.madvise(mmap.MADV_DONTNEED)

    def _parse(self) -> None:
        if self._data[:4] != b'GGUF':
            raise TinyChatError(f'{self.path} is not a GGUF file')
        self._position = 4
        version = self._scalar('I')
        if version and not version & 0xffff:
            raise TinyChatError(f'{self.path} is for big-endian machines; get the little-endian file')
        if version not in (2, 3):
            raise TinyChatError(f'{self.path} has GGUF version {version}; only 2 and 3 can be read')
        tensors, keys = self._scalar('Q'), self._scalar('Q')
        self._must_hold(tensors * _SMALLEST_INFO + keys * _SMALLEST_KEY)
        for _ in range(keys):
            key = self._string()
            if key in self.metadata:
                raise TinyChatError(f'{self.path} is damaged: it has the key {key} twice')
            self.metadata[key] = self._value(self._scalar('I'))
        found = {}
        for _ in range(tensors):
            name, rank = self._string(), self._scalar('I')
            if name in found or rank > _LARGEST_RANK:
                raise TinyChatError(f'{self.path} is damaged: it has the tensor {name} ' + (
                    'twice' if name in found else f'with {rank} dimensions'))
            shape = tuple(self._scalar('Q') for _ in range(rank))
            found[name] = shape[::-1], self._scalar('I'), self._scalar('Q')
        alignment = self.metadata.get('general.alignment', 32)
        if type(alignment) is not int or alignment < 1:
            raise TinyChatError(f'{self.path} is damaged: general.alignment = {alignment}')
        start = -(-self._position // alignment) * alignment
        for name, (shape, number, offset) in found.items():
            self._infos[name] = self._info(name, shape, number, start + offset)

    def _info(self, name: str, shape: tuple[int, ...], number: int, offset: int) -> _Info:
        kind = _TYPE_NAMES.get(number, f'number {number}')
        if kind not in _BLOCKS:
            raise UnsupportedModelError(f'{self.path}: {name} has the type {kind}; get a file with one of '
                                        f'{", ".join(_BLOCKS)}')
        block, size = _BLOCKS[kind]
        if not shape or not all(shape) or shape[-1] % block:
            raise TinyChatError(f'{self.path} is damaged: {name} has the shape {list(shape)}')
        length = prod(shape) // block * size
        if offset + length > len(self._data):
            raise TinyChatError(f'{self.path} is cut off in the tensor {name}; get the file again')
        return _Info(shape, kind, offset, length)

    @property
    def names(self) -> Collection[str]:
        """All tensors, in the file's order."""
        return self._infos.keys()

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape: [rows, cols] or [n]."""
        return self._infos[name].shape

    def vector(self, name: str) -> npt.NDArray[np.float32]:
        """Return a vector of F32, F16, BF16 or F64 as float32; leading dimensions of size 1 are allowed."""
        info = self._infos[name]
        if prod(info.shape[:-1]) != 1 or info.kind not in _PLAIN:
            raise UnsupportedModelError(f'{self.path}: {name} is not a vector of F32, F16 or BF16')
        vector = self._plain(info)
        if info.kind == 'BF16':
            vector = (vector.astype(np.uint32) << 16).view(np.float32)
        vector = vector.astype(np.float32)
        if not np.isfinite(vector).all():
            raise TinyChatError(f'{self.path} is damaged: {name} has numbers that are not finite')
        return vector

    def matrix(self, name: str) -> Linear:
        """
        Return a matrix with the values that the file stores.

        A tensor with more dimensions, such as that of a convolution, becomes a matrix: one column for each number of a
        row. Q4_0: w4z with the zero 8; Q4_1: w4m; Q8_0: w8g; all in groups of 32. F16, BF16, F32: unchanged. Other
        types: see gguf_blocks. A type that is not exact logs one warning.
        """
        info = self._infos[name]
        shape = info.shape
        while len(shape) > 2 and shape[0] == 1:
            shape = shape[1:]
        if len(shape) < 2 or (len(shape) > 2 and info.kind not in _PLAIN):
            raise UnsupportedModelError(f'{self.path}: {name} is not a matrix')
        rows, cols, raw = shape[0], prod(shape[1:]), self._raw(info)
        if info.kind in _PLAIN:
            return Linear(_PLAIN[info.kind][0], rows, cols, 0, None, self._plain(info).reshape(rows, cols))
        if info.kind in gguf_blocks.BLOCKS:
            if info.kind not in gguf_blocks.EXACT:
                self._say(info.kind, gguf_blocks.said(info.kind))
            try:
                return gguf_blocks.matrix(info.kind, rows, cols, raw.reshape(-1, _BLOCKS[info.kind][1]))
            except ValueError as error:
                raise TinyChatError(f'{self.path} is damaged: {name}: {error}') from None
        blocks = raw.reshape(rows, cols // 32, -1)
        scales = np.ascontiguousarray(blocks[..., :2]).view(np.float16)[..., 0]
        if info.kind == 'Q8_0':
            weight = np.ascontiguousarray(blocks[..., 2:]).view(np.int8).reshape(rows, cols)
            return Linear('w8g', rows, cols, 32, None, weight, scales)
        # The first 16 elements of a block are the low nibbles of its bytes, the others the high ones.
        nibbles = blocks[..., 2 if info.kind == 'Q4_0' else 4:]
        weight = np.concatenate([nibbles & 15, nibbles >> 4], axis=2).reshape(rows, cols)
        if info.kind == 'Q4_0':
            # A zero point takes a quarter of the space of the minimum -8s, and is exact where -8s overflows fp16.
            zeros = np.full(scales.shape, 8, dtype=np.uint8)
            return Linear('w4z', rows, cols, 32, None, weight, scales, zeros=zeros)
        mins = np.ascontiguousarray(blocks[..., 2:4]).view(np.float16)[..., 0]
        return Linear('w4m', rows, cols, 32, None, weight, scales, mins)

    def _plain(self, info: _Info) -> npt.NDArray[Any]:
        """Return the elements of a tensor without blocks, F64 as float32 and BF16 as uint16."""
        numbers: npt.NDArray[Any] = self._raw(info).view(_PLAIN[info.kind][1])
        if info.kind != 'F64':
            return numbers
        with np.errstate(over='ignore'):
            narrow = numbers.astype(np.float32)
        if not np.array_equal(narrow, numbers, equal_nan=True):
            self._say('F64', 'F64 is rounded to F32')
        return narrow

    def _say(self, kind: str, what: str) -> None:
        """Log a warning, once for all tensors of a type."""
        if kind not in self._said:
            self._said.add(kind)
            _log.warning('%s: %s', self.path, what)

    def _must_hold(self, count: int) -> None:
        """Raise ValueError where the rest of the file has fewer than `count` bytes."""
        if self._position + count > len(self._data):
            raise ValueError('a count is larger than the file')

    def _raw(self, info: _Info) -> npt.NDArray[np.uint8]:
        return np.frombuffer(self._data, dtype=np.uint8, offset=info.offset, count=info.length)

    def _scalar(self, letter: str) -> Any:
        (value,) = struct.unpack_from('<' + letter, self._data, self._position)
        self._position += struct.calcsize(letter)
        return value

    def _string(self) -> str:
        length = self._scalar('Q')
        self._must_hold(length)
        if length > _LONGEST_TEXT:
            raise ValueError('a string is too long')
        text = self._data[self._position:self._position + length].decode('utf-8', errors='surrogateescape')
        self._position += length
        return text

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._string()
        if kind != _ARRAY:
            if kind not in _SCALARS:
                raise TinyChatError(f'{self.path} is damaged: metadata of the unknown type {kind}')
            return self._scalar(_SCALARS[kind])
        item, count = self._scalar('I'), self._scalar('Q')
        size = struct.calcsize(_SCALARS[item]) if item in _SCALARS else _SMALLEST_ITEM
        self._must_hold(size * count)
        if count > _LONGEST_ARRAY:
            raise ValueError('an array is too long')
        if item in _SCALARS:
            values = struct.unpack_from(f'<{count}{_SCALARS[item]}', self._data, self._position)
            self._position += size * count
            return list(values)
        return [self._value(item) for _ in range(count)]
