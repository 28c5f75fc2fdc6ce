# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
One shard: a safetensors file whose data can be read in place.

The format (https://github.com/huggingface/safetensors): 8 bytes with the header's length, a JSON header, the data. Within
it, the header is padded so that the data begins at a page, and every tensor begins at 64 bytes. The format allows no holes,
so explicit tensors `_pad.N` fill them.
"""

from __future__ import annotations

from collections.abc import Mapping
import json
import mmap
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tinychat_core.errors import CheckpointError

Array = npt.NDArray[np.generic]

PAGE = 4096
ALIGNMENT = 64

_TYPES = {'U8': np.uint8, 'I8': np.int8, 'F16': np.float16, 'F32': np.float32, 'BF16': np.uint16}
_NAMES = {np.dtype(kind): name for name, kind in _TYPES.items()}


def write_shard(path: Path, tensors: Mapping[str, Array]) -> None:
    """Write and fsync a shard; uint16 arrays are stored as BF16."""
    header: dict[str, object] = {}
    position = 0
    parts: list[bytes | memoryview] = []
    for name, array in tensors.items():
        header[name] = {'dtype': _NAMES[array.dtype], 'shape': list(array.shape),
                        'data_offsets': [position, position + array.nbytes]}
        parts.append(memoryview(np.ascontiguousarray(array)).cast('B'))
        position += array.nbytes
        hole = -position % ALIGNMENT
        if hole:
            header[f'_pad.{len(parts)}'] = {'dtype': 'U8', 'shape': [hole], 'data_offsets': [position, position + hole]}
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
    """A shard mapped into memory, read-only; arrays are views of the mapping."""

    def __init__(self, path: Path) -> None:
        """Map the file; CheckpointError where that fails or the header is not one of ours."""
        self.path = path
        try:
            with open(path, 'rb') as file:
                self.mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise CheckpointError(f'cannot read the shard {path}: {error}; import the model again') from None
        try:
            length = int.from_bytes(self.mapping[:8], 'little')
            self._data = 8 + length
            self._tensors = json.loads(self.mapping[8:self._data])
        except ValueError:
            raise CheckpointError(f'{path} is damaged (its header is not readable); import the model again') from None

    def __contains__(self, name: str) -> bool:
        """Tell whether the shard has a tensor of that name."""
        return name in self._tensors

    def array(self, name: str) -> Array:
        """Return a tensor as a read-only view of the mapping (BF16 as uint16); CheckpointError where there is none."""
        try:
            entry = self._tensors[name]
            begin, end = entry['data_offsets']
            flat = np.frombuffer(self.mapping, dtype=_TYPES[entry['dtype']], offset=self._data + begin,
                                 count=(end - begin) // np.dtype(_TYPES[entry['dtype']]).itemsize)
            return flat.reshape(entry['shape'])
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f'{self.path} does not hold the tensor {name} ({error}); import the model again') from None
