# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
The order of a matrix's elements in a shard.

A matrix [N, K] is divided into tiles of `rows` rows, a tile into steps of `step` columns, and a step is stored row by
row. A byte holds two 4-bit elements, from two consecutive steps: the first in the low nibble. So a register that holds
one step of a tile has one row per lane, and its nibbles split into two steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_CHUNK = 1 << 22  # elements reordered at a time, which bounds the temporary memory


@dataclass(frozen=True)
class Layout:
    """Tiles of `rows` rows in steps of `step` columns; zeros pad N to whole tiles."""

    rows: int
    step: int

    def padded(self, count: int) -> int:
        """Return `count` rows rounded up to whole tiles."""
        return -(-count // self.rows) * self.rows


# `rows` is row-major: a tile is a row, and adjacent 4-bit elements share a byte.
LAYOUTS = {'rows': Layout(1, 1), 'r16k4': Layout(16, 4), 'r16k1': Layout(16, 1)}


def pack(matrix: Array, layout: Layout, bits: int = 8) -> Array:
    """
    Return the matrix [N, K] in stored order, flat; `bits` 4 stores two elements 0 .. 15 per byte.

    K must be a multiple of the step (twice the step for 4 bits); ValueError otherwise.
    """
    count, width = matrix.shape
    unit = layout.step * (2 if bits == 4 else 1)
    if width % unit:
        raise ValueError(f'a width of {width} is not a multiple of {unit}')
    packed = np.empty((layout.padded(count), width // 2 if bits == 4 else width),
                      dtype=np.uint8 if bits == 4 else matrix.dtype)
    chunk = layout.padded(max(1, _CHUNK // max(1, width)))
    for first in range(0, count, chunk):
        rows = matrix[first:first + chunk]
        target = packed[first:first + layout.padded(len(rows))]
        target.reshape(-1)[:] = _pack(rows, layout, unit, bits == 4)
    return packed.reshape(-1)


def _pack(matrix: Array, layout: Layout, unit: int, nibbles: bool) -> Array:
    count, width = matrix.shape
    padded = np.zeros((layout.padded(count), width), dtype=matrix.dtype)
    padded[:count] = matrix
    steps = padded.reshape(-1, layout.rows, width // unit, unit // layout.step, layout.step)
    if nibbles:
        first, second = steps.transpose(3, 0, 2, 1, 4)
        return (first | second << 4).astype(np.uint8, copy=False).reshape(-1)
    return np.ascontiguousarray(steps.transpose(0, 2, 3, 1, 4)).reshape(-1)


def unpack(packed: Array, shape: tuple[int, int], layout: Layout, bits: int = 8) -> Array:
    """Return the matrix [N, K] of `shape`: the inverse of `pack`."""
    count, width = shape
    tiles = layout.padded(count) // layout.rows
    if bits == 4:
        bytes_ = packed.reshape(tiles, width // (2 * layout.step), layout.rows, layout.step)
        ordered = np.stack([bytes_ & 15, bytes_ >> 4], axis=2).transpose(0, 3, 1, 2, 4)
    else:
        ordered = packed.reshape(tiles, width // layout.step, layout.rows, layout.step).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(ordered).reshape(tiles * layout.rows, width)[:count]


def pack_zeros(zeros: Array, layout: Layout) -> Array:
    """
    Return 4-bit zero points [N, groups] in stored order, flat.

    In tiles of 16 rows, the 16 zero points of a group are 8 bytes: row j in the low nibble of byte j, row j + 8 in the
    high one. In the row-major layout two groups of a row share a byte, the first in the low nibble; an odd number of
    groups is padded.
    """
    if layout.rows == 1:
        even = np.pad(zeros, ((0, 0), (0, zeros.shape[1] % 2)))
        return (even[:, ::2] | even[:, 1::2] << 4).astype(np.uint8).reshape(-1)
    tiles = pack(zeros, Layout(layout.rows, 1)).reshape(-1, layout.rows)
    half = layout.rows // 2
    return (tiles[:, :half] | tiles[:, half:] << 4).astype(np.uint8).reshape(-1)


def unpack_zeros(packed: Array, shape: tuple[int, int], layout: Layout) -> Array:
    """Return zero points [N, groups] of `shape`: the inverse of `pack_zeros`."""
    count, groups = shape
    if layout.rows == 1:
        bytes_ = packed.reshape(count, -1)
        return np.stack([bytes_ & 15, bytes_ >> 4], axis=2).reshape(count, -1)[:, :groups]
    bytes_ = packed.reshape(-1, layout.rows // 2)
    return unpack(np.concatenate([bytes_ & 15, bytes_ >> 4], axis=1), shape, Layout(layout.rows, 1))
