# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
A shard: a safetensors file whose tensors can be used in place.

The format (https://github.com/huggingface/safetensors): 8 bytes with the length of the header, a JSON header, the data.
The header is padded so that the data starts on a page, and every tensor is aligned to 64 bytes. The format does not
allow gaps, so tensors named `_pad.N` fill them. The safetensors package neither aligns tensors nor exposes the mapping,
which the loader locks, advises and guards; that is why this module exists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
import json
import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tinychat_core.errors import CheckpointError

Array = npt.NDArray[Any]

PAGE = 4096
ALIGNMENT = 64
_LARGEST_HEADER = 100_000_000  # the limit of the safetensors package

_TYPES = {'U8': np.uint8, 'I8': np.int8, 'I16': np.int16, 'I32': np.int32, 'I64': np.int64, 'F16': np.float16,
          'F32': np.float32, 'F64': np.float64, 'BF16': np.uint16}
_NAMES = {np.dtype(kind): name for name, kind in _TYPES.items()}


def write_shard(path: Path, tensors: Mapping[str, Array]) -> None:
    """Write and fsync a shard; uint16 arrays are stored as BF16."""
    header: dict[str, object] = {}
    position = 0
    parts: list[bytes | memoryview] = []
    for name, array in tensors.items():
        header[name] = {'dtype': _NAMES[array.dtype], 'shape': list(array.shape),
                        'data_offsets': [position, position + array.nbytes]}
        parts.append(np.ascontiguousarray(array).data.cast('B'))
        position += array.nbytes
        hole = -position % ALIGNMENT
        if hole:
            header[f'_pad.{len(parts)}'] = {'dtype': 'U8', 'shape': [hole],
                                            'data_offsets': [position, position + hole]}
            parts.append(bytes(hole))
            position += hole
    text = json.dumps(header, separators=(',', ':')).encode()
    text += b' ' * (-(8 + len(text)) % PAGE)
    with open(path, 'wb') as file:
        file.write(len(text).to_bytes(8, 'little'))
        file.write(text)
        for part in parts:
            file.write(part)
        file.flush()
        os.fsync(file.fileno())


class ShardFile:
    """A read-only safetensors file in memory, mapped or copied; arrays are views of it."""

    def __init__(self, path: Path, advice: str = 'import the model again', copy: mmap.mmap | None = None,
                 prepare: Callable[[mmap.mmap], None] = lambda _: None) -> None:
        """
        Map the file, or take a copy of it; CheckpointError, ending with the advice, where it is not a safetensors file.

        `prepare` is called with the new mapping before anything is read from it.
        """
        self.path = path
        self._advice = advice
        try:
            with open(path, 'rb') as file:
                self.mapping = copy or mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                self._identity = _identity(os.fstat(file.fileno()))
            if copy is None:
                prepare(self.mapping)
        except (OSError, ValueError) as error:
            raise CheckpointError(f'cannot read {path}: {error}; {advice}') from None
        try:
            self._data = 8 + int.from_bytes(self.mapping[:8], 'little')
            if self._data > min(len(self.mapping), _LARGEST_HEADER):
                raise ValueError('the header is longer than the file')
            header = json.loads(self.mapping[8:self._data])
            header.pop('__metadata__', None)
            tensors = {name: _entry(**entry) for name, entry in header.items()}
            self.shapes: dict[str, tuple[int, ...]] = {name: shape for name, (_, shape, _, _) in tensors.items()}
            self._tensors: dict[str, tuple[str, int, int]] = {
                name: (kind, begin, end) for name, (kind, _, begin, end) in tensors.items()}
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise self._damaged('its header is not readable') from None

    def is_changed(self) -> bool:
        """
        Return whether the opened file has been written to or truncated.

        A file that was replaced or removed is still intact in the mapping.
        """
        try:
            now = _identity(os.stat(self.path))
        except OSError:
            return False
        return now[:2] == self._identity[:2] and now != self._identity

    def is_here(self) -> bool:
        """Return whether the path still leads to the opened, unchanged file."""
        try:
            return _identity(os.stat(self.path)) == self._identity
        except OSError:
            return False

    def forget(self) -> None:
        """Give the pages that were read back to the system, also those in its cache; they are read again on demand."""
        self.mapping.madvise(mmap.MADV_DONTNEED)
        with open(self.path, 'rb') as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def dtype(self, name: str) -> str:
        """Return the type of a tensor as safetensors names it."""
        return self._tensors[name][0]

    def array(self, name: str) -> Array:
        """Return a tensor as a view of the mapping (BF16 as uint16); CheckpointError where there is none."""
        try:
            kind, begin, end = self._tensors[name]
            type_ = np.dtype(_TYPES[kind])
            shape = self.shapes[name]
            if not 0 <= begin <= end or end - begin != type_.itemsize * int(np.prod(shape, dtype=np.int64)):
                raise ValueError('its offsets do not fit its shape')
            flat = np.frombuffer(self.mapping, type_, (end - begin) // type_.itemsize, self._data + begin)
            return flat.reshape(shape)
        except KeyError:
            raise self._damaged(f'it does not hold the tensor {name}') from None
        except (TypeError, ValueError, OverflowError) as error:
            raise self._damaged(f'{name}: {error}') from None

    def _damaged(self, reason: str) -> CheckpointError:
        return CheckpointError(f'{self.path} is damaged ({reason}); {self._advice}')


def _entry(dtype: str, shape: list[int], data_offsets: list[int]) -> tuple[str, tuple[int, ...], int, int]:
    """Return type, shape, begin and end of a tensor; TypeError or ValueError where the header has something else."""
    begin, end = data_offsets
    if type(dtype) is not str or any(type(number) is not int or number < 0 for number in (*shape, begin, end)):
        raise TypeError('a tensor is described by something else than numbers')
    return dtype, tuple(shape), begin, end


def _identity(status: os.stat_result) -> tuple[int, int, int, int]:
    """Return the identity of a file, and the fields that change when it is written to."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
