# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
The order of a matrix's elements in a shard.

A matrix [N, K] is divided into tiles of `rows` rows, a tile into steps of `step` columns, and a step is stored row by
row. A byte holds two 4-bit elements, from two consecutive steps: the first in the low nibble. So a register that holds
one step of a tile has one row per lane, and its nibbles split into two steps.

Elements of 5 and 6 bits are stored in pieces of 8 and 4 steps: first the low four bits of all steps, as above, then a
line with the remaining bits. In a byte of this line, the lowest bits belong to the first step.
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


def unit(layout: Layout, bits: int) -> int:
    """Return how many columns are packed together; a width must be a multiple of this number."""
    return layout.step * {4: 2, 5: 8, 6: 4}.get(bits, 1)


def packed_size(rows: int, cols: int, layout: Layout, bits: int) -> int:
    """Return the number of elements of a packed matrix [rows, cols]: bytes for less than 8 bits."""
    return layout.padded(rows) * cols * min(bits, 8) // 8


def pack(matrix: Array, layout: Layout, bits: int = 8) -> Array:
    """
    Return the matrix [N, K] in stored order, flat; `bits` 4, 5 and 6 store elements 0 .. 2^bits - 1 as uint8.

    K must be a multiple of `unit`; ValueError otherwise.
    """
    count, width = matrix.shape
    together = unit(layout, bits)
    if width % together:
        raise ValueError(f'a width of {width} is not a multiple of {together}')
    packed = np.empty((layout.padded(count), packed_size(1, width, Layout(1, 1), bits)),
                      dtype=np.uint8 if bits < 8 else matrix.dtype)
    chunk = layout.padded(max(1, _CHUNK // max(1, width)))
    for first in range(0, count, chunk):
        rows = matrix[first:first + chunk]
        target = packed[first:first + layout.padded(len(rows))]
        target.reshape(-1)[:] = _pack(rows, layout, together, bits)
    return packed.reshape(-1)


def _pack(matrix: Array, layout: Layout, together: int, bits: int) -> Array:
    count, width = matrix.shape
    padded = np.zeros((layout.padded(count), width), dtype=matrix.dtype)
    padded[:count] = matrix
    steps = padded.reshape(-1, layout.rows, width // together, together // layout.step, layout.step)
    if bits >= 8:
        return np.ascontiguousarray(steps.transpose(0, 2, 3, 1, 4)).reshape(-1)
    lines = steps.transpose(0, 2, 3, 1, 4).astype(np.uint8, copy=False)  # [tile, piece, step, row, column]
    low = lines[:, :, ::2] & 15 | lines[:, :, 1::2] << 4
    if bits == 4:
        return low.reshape(-1)
    shifts = np.arange(0, 8, bits - 4, dtype=np.uint8).reshape(-1, 1, 1)
    high = np.bitwise_or.reduce(lines >> 4 << shifts, axis=2, keepdims=True)
    return np.concatenate([low, high], axis=2).reshape(-1)


def unpack(packed: Array, shape: tuple[int, int], layout: Layout, bits: int = 8) -> Array:
    """Return the matrix [N, K] of `shape`: the inverse of `pack`."""
    count, width = shape
    tiles = layout.padded(count) // layout.rows
    if bits < 8:
        together = unit(layout, bits)
        steps = together // layout.step
        lines = packed.reshape(tiles, width // together, -1, layout.rows, layout.step)
        nibbles = lines[:, :, :steps // 2]
        elements = np.stack([nibbles & 15, nibbles >> 4], axis=3).reshape(tiles, -1, steps, layout.rows, layout.step)
        if bits > 4:
            shifts = np.arange(0, 8, bits - 4, dtype=np.uint8).reshape(-1, 1, 1)
            elements |= (lines[:, :, -1:] >> shifts & 2 ** (bits - 4) - 1) << 4
        ordered = elements.transpose(0, 3, 1, 2, 4)
    else:
        ordered = packed.reshape(tiles, width // layout.step, layout.rows, layout.step).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(ordered).reshape(tiles * layout.rows, width)[:count]


def pack_pairs(pairs: Array, layout: Layout) -> Array:
    """
    Return pairs of 6-bit numbers [N, groups, 2] in stored order, flat: twelve bits each.

    In tiles of 16 rows, a group takes 24 bytes: 16 with the low four bits of the first and (in the high nibble) of the
    second number of each row, then 8 with the two high bits of both, row j in the low nibble and row j + 8 in the high
    one. In the row-major layout, two groups of a row take 3 bytes in the same way.
    """
    single = Layout(layout.rows, 1)
    first, second = (pack(pairs[..., part], single).reshape(-1, _pairs_at_once(layout)) for part in (0, 1))
    high = first >> 4 | second >> 4 << 2
    half = high.shape[1] // 2
    return np.concatenate([first & 15 | second << 4, high[:, :half] | high[:, half:] << 4], axis=1).reshape(-1)


def unpack_pairs(packed: Array, shape: tuple[int, int], layout: Layout) -> Array:
    """Return the pairs [N, groups, 2]; `shape` is [N, groups]."""
    at_once = _pairs_at_once(layout)
    low, halves = np.split(packed.reshape(-1, at_once * 3 // 2), [at_once], axis=1)
    high = np.concatenate([halves & 15, halves >> 4], axis=1)
    single = Layout(layout.rows, 1)
    return np.stack([unpack(part.reshape(-1), shape, single)
                     for part in (low & 15 | (high & 3) << 4, low >> 4 | high >> 2 << 4)], axis=2)


def _pairs_at_once(layout: Layout) -> int:
    return max(2, layout.rows)


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
