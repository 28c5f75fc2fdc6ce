# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
The GGUF container, versions 2 and 3 (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md).

Tensors come out as they are stored: integers and scales, never dequantized.
"""

from __future__ import annotations

from dataclasses import dataclass
import mmap
from pathlib import Path
import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from tinychat_core.checkpoint.linear import Linear
from tinychat_core.errors import TinyChatError, UnsupportedModelError

# Types of metadata values that struct reads: GGUF's number -> struct's letter.
_SCALARS = {0: 'B', 1: 'b', 2: 'H', 3: 'h', 4: 'I', 5: 'i', 6: 'f', 7: '?', 10: 'Q', 11: 'q', 12: 'd'}
_STRING, _ARRAY = 8, 9

# Names of ggml's tensor types, for messages; those with a size of block and bytes are read.
_TYPE_NAMES = {0: 'F32', 1: 'F16', 2: 'Q4_0', 3: 'Q4_1', 6: 'Q5_0', 7: 'Q5_1', 8: 'Q8_0', 9: 'Q8_1', 10: 'Q2_K', 11: 'Q3_K',
               12: 'Q4_K', 13: 'Q5_K', 14: 'Q6_K', 15: 'Q8_K', 16: 'IQ2_XXS', 17: 'IQ2_XS', 18: 'IQ3_XXS', 19: 'IQ1_S',
               20: 'IQ4_NL', 21: 'IQ3_S', 22: 'IQ2_S', 23: 'IQ4_XS', 24: 'I8', 25: 'I16', 26: 'I32', 27: 'I64', 28: 'F64',
               29: 'IQ1_M', 30: 'BF16'}
_BLOCKS = {'F32': (1, 4), 'F16': (1, 2), 'BF16': (1, 2), 'Q4_0': (32, 18), 'Q4_1': (32, 20), 'Q8_0': (32, 34)}


@dataclass(frozen=True)
class _Info:
    shape: tuple[int, ...]  # as GGUF has it: the width first
    kind: str
    offset: int


class GgufFile:
    """An open GGUF file: `metadata` by key, tensors by name."""

    def __init__(self, path: Path) -> None:
        """Map and parse the file; TinyChatError where it is no GGUF or ends too early."""
        self.path = path
        self.metadata: dict[str, Any] = {}
        self._infos: dict[str, _Info] = {}
        try:
            with open(path, 'rb') as file:
                self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise TinyChatError(f'cannot read {path}: {error}') from None
        self._position = 0
        try:
            self._parse()
        except (struct.error, IndexError, UnicodeDecodeError, OverflowError):
            raise TinyChatError(f'{path} is damaged: its header ends too early or is not readable') from None

    def _parse(self) -> None:
        if self._data[:4] != b'GGUF':
            raise TinyChatError(f'{self.path} is not a GGUF file')
        self._position = 4
        version = self._scalar('I')
        if version not in (2, 3):
            raise TinyChatError(f'{self.path} has GGUF version {version}; only 2 and 3 can be read')
        tensors, keys = self._scalar('Q'), self._scalar('Q')
        for _ in range(keys):
            key = self._string()
            self.metadata[key] = self._value(self._scalar('I'))
        for _ in range(tensors):
            name = self._string()
            shape = tuple(self._scalar('Q') for _ in range(self._scalar('I')))
            number, offset = self._scalar('I'), self._scalar('Q')
            self._infos[name] = _Info(shape, _TYPE_NAMES.get(number, f'number {number}'), offset)
        alignment = self.metadata.get('general.alignment', 32)
        start = -(-self._position // alignment) * alignment
        self._infos = {name: _Info(i.shape, i.kind, start + i.offset) for name, i in self._infos.items()}

    def __contains__(self, name: str) -> bool:
        """Tell whether the file has a tensor of that name."""
        return name in self._infos

    @property
    def names(self) -> list[str]:
        """All tensors, in the file's order."""
        return list(self._infos)

    def vector(self, name: str) -> npt.NDArray[np.float32]:
        """Return a one-dimensional F32 or F16 tensor as float32."""
        info = self._info(name)
        if len(info.shape) != 1 or info.kind not in ('F32', 'F16'):
            raise UnsupportedModelError(f'{self.path}: {name} is not a vector of F32 or F16')
        return self._raw(name).view(np.float32 if info.kind == 'F32' else np.float16).astype(np.float32)

    def matrix(self, name: str) -> Linear:
        """
        Return a matrix exactly as the file means it.

        Q4_0: w4z with the zero 8; Q4_1: w4m; Q8_0: w8g; all in groups of 32. F16, BF16: as they are. F32: f16, where that
        loses nothing. Raises UnsupportedModelError for any other type, by name.
        """
        info = self._info(name)
        if len(info.shape) != 2:
            raise UnsupportedModelError(f'{self.path}: {name} is not a matrix')
        cols, rows = info.shape
        raw = self._raw(name)
        if info.kind == 'F16':
            return Linear('f16', rows, cols, 0, None, raw.view(np.float16).reshape(rows, cols))
        if info.kind == 'BF16':
            return Linear('bf16', rows, cols, 0, None, raw.view(np.uint16).reshape(rows, cols))
        if info.kind == 'F32':
            values = raw.view(np.float32).reshape(rows, cols)
            halves = values.astype(np.float16)
            if not np.array_equal(halves.astype(np.float32), values):
                raise UnsupportedModelError(f'{self.path}: {name} is F32 and fp16 does not hold it exactly; convert the '
                                            'file to F16 or Q8_0 first')
            return Linear('f16', rows, cols, 0, None, halves)
        blocks = raw.reshape(rows, cols // 32, -1)
        scales = np.ascontiguousarray(blocks[..., :2]).view(np.float16)[..., 0]
        if info.kind == 'Q8_0':
            weight = np.ascontiguousarray(blocks[..., 2:]).view(np.int8).reshape(rows, cols)
            return Linear('w8g', rows, cols, 32, None, weight, scales)
        # The first 16 numbers of a block are the low nibbles of its bytes, the others the high ones.
        nibbles = blocks[..., 2 if info.kind == 'Q4_0' else 4:]
        weight = np.concatenate([nibbles & 15, nibbles >> 4], axis=2).reshape(rows, cols)
        if info.kind == 'Q4_0':
            return Linear('w4z', rows, cols, 32, None, weight, scales, zeros=np.full(scales.shape, 8, dtype=np.uint8))
        mins = np.ascontiguousarray(blocks[..., 2:4]).view(np.float16)[..., 0]
        return Linear('w4m', rows, cols, 32, None, weight, scales, mins)

    def _info(self, name: str) -> _Info:
        if name not in self._infos:
            raise UnsupportedModelError(f'{self.path} has no tensor {name}')
        return self._infos[name]

    def _raw(self, name: str) -> npt.NDArray[np.uint8]:
        info = self._info(name)
        if info.kind not in _BLOCKS:
            raise UnsupportedModelError(f'{self.path}: {name} has the type {info.kind}; supported are {", ".join(_BLOCKS)}')
        block, size = _BLOCKS[info.kind]
        if info.shape[0] % block:
            raise TinyChatError(f'{self.path} is damaged: the width of {name} is not a multiple of {block}')
        length = int(np.prod(info.shape, dtype=np.int64)) // block * size
        if info.offset + length > len(self._data):
            raise TinyChatError(f'{self.path} is cut off in the tensor {name}; get the file again')
        return np.frombuffer(self._data, dtype=np.uint8, offset=info.offset, count=length)

    def _scalar(self, letter: str) -> Any:
        (value,) = struct.unpack_from('<' + letter, self._data, self._position)
        self._position += struct.calcsize(letter)
        return value

    def _string(self) -> str:
        length = self._scalar('Q')
        if self._position + length > len(self._data):
            raise IndexError
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
        if item in _SCALARS:
            size = struct.calcsize(_SCALARS[item])
            values = struct.unpack_from(f'<{count}{_SCALARS[item]}', self._data, self._position)
            self._position += size * count
            return list(values)
        return [self._value(item) for _ in range(count)]
