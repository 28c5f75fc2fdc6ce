# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The weights of a split checkpoint in float32, read as the format says and not as the package does it."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import safe_open

Array = npt.NDArray[Any]
Weights = npt.NDArray[np.float32]


def weights(directory: Path) -> dict[str, Weights]:
    """Return every matrix [rows, cols] and vector [cols] by its name."""
    manifest = json.loads((directory / 'tinychat.json').read_text(encoding='utf-8'))
    shards = [directory / shard['file'] for shard in manifest['shards']]
    return {name: _weight(shards[entry['shard']], name, entry) for name, entry in manifest['tensors'].items()}


def _weight(shard: Path, name: str, entry: dict[str, Any]) -> Weights:
    rows, cols, form = entry['rows'], entry['cols'], entry['format']
    with safe_open(shard, framework='np') as file:
        if form == 'f32':
            return np.asarray(file.get_tensor(name), dtype=np.float32).reshape(cols)
        names = [key for key in file.keys() if key.rpartition('.')[0] == name]  # noqa: SIM118 (not a dictionary)
        parts = {key.rpartition('.')[2]: file.get_tensor(key) for key in names}
    assert entry['layout'] == 'r16k4' and form in ('w4m', 'w4z', 'w8g')
    tiles, groups = -(-rows // 16), cols // entry['group_size']
    q = (_eight_bits if form == 'w8g' else _four_bits)(parts['qweight'], tiles, cols)

    def each(values: Array) -> Array:
        """[tiles, groups, 16 rows] -> [rows, cols], in float32."""
        by_row = values.reshape(tiles, groups, 16).transpose(0, 2, 1).reshape(tiles * 16, groups)
        return np.repeat(by_row.astype(np.float32), entry['group_size'], axis=1)

    if form == 'w4z':
        pairs = parts['zeros'].reshape(tiles, groups, 8)
        q = q - each(np.concatenate([pairs & 15, pairs >> 4], axis=2))
    value = each(parts['scales']) * q
    if form == 'w4m':
        value = value + each(parts['mins'])
    return value[:rows]


def _four_bits(packed: Array, tiles: int, cols: int) -> Array:
    """[tiles, cols/8, 16 rows, 4 bytes]: of eight columns the low nibbles are the first four."""
    pairs = packed.reshape(tiles, cols // 8, 16, 4)
    q = np.concatenate([pairs & 15, pairs >> 4], axis=3)
    return q.transpose(0, 2, 1, 3).reshape(tiles * 16, cols).astype(np.float32)


def _eight_bits(packed: Array, tiles: int, cols: int) -> Array:
    """[tiles, cols/4, 16 rows, 4 columns]."""
    q = packed.view(np.int8).reshape(tiles, cols // 4, 16, 4)
    return q.transpose(0, 2, 1, 3).reshape(tiles * 16, cols).astype(np.float32)
