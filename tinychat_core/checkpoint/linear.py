# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A weight matrix in one of the formats of a checkpoint, and its way into and out of a layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tinychat_core.checkpoint.layouts import LAYOUTS, pack, pack_zeros, unpack, unpack_zeros

Array = npt.NDArray[np.generic]


@dataclass(frozen=True)
class Linear:
    """
    A matrix [rows, cols] of y = W x.

    `format` says what a number means: w4m s*q + m, w4z s*(q - z), w8g s*q per group, w8c s*q per row, f16 and bf16 (as
    uint16) the number itself. `weight` holds q or the number, `scales`, `mins` and `zeros` one for each group of
    `group_size` columns (w8c: one a row, float32). In the layout None all are matrices [rows, …]; in a named layout each
    is flat, in stored order.
    """

    format: str
    rows: int
    cols: int
    group_size: int
    layout: str | None
    weight: Array
    scales: Array | None = None
    mins: Array | None = None
    zeros: Array | None = None

    @property
    def groups(self) -> int:
        """Scales of a row."""
        return self.cols // self.group_size if self.group_size else 1

    def packed(self, layout: str) -> Linear:
        """Return the matrix in a named layout; 16-bit numbers and vectors of a row take single columns."""
        if self.layout is not None:
            return self if self.layout == layout else self.unpacked().packed(layout)
        order, single = LAYOUTS[layout], replace(LAYOUTS[layout], step=1)
        bits = 4 if self.format.startswith('w4') else 8
        return replace(
            self, layout=layout, weight=pack(self.weight, order, bits),
            scales=None if self.scales is None else pack(self.scales, single),
            mins=None if self.mins is None else pack(self.mins, single),
            zeros=None if self.zeros is None else pack_zeros(self.zeros, order))

    def unpacked(self) -> Linear:
        """Return the matrix with its numbers as matrices [rows, cols] and [rows, groups]."""
        if self.layout is None:
            return self
        order, single = LAYOUTS[self.layout], replace(LAYOUTS[self.layout], step=1)
        bits = 4 if self.format.startswith('w4') else 8
        grouped = (self.rows, self.groups)
        return replace(
            self, layout=None, weight=unpack(self.weight, (self.rows, self.cols), order, bits),
            scales=None if self.scales is None else unpack(self.scales, grouped, single),
            mins=None if self.mins is None else unpack(self.mins, grouped, single),
            zeros=None if self.zeros is None else unpack_zeros(self.zeros, grouped, order))

    def dequantized(self) -> npt.NDArray[np.float32]:
        """Return what the stored numbers mean, float32 [rows, cols]."""
        plain = self.unpacked()
        if self.format == 'bf16':
            return (plain.weight.astype(np.uint32) << 16).view(np.float32)
        values = plain.weight.astype(np.float32)
        if plain.scales is None:
            return values

        def spread(per_group: Array) -> npt.NDArray[np.float32]:
            return np.repeat(per_group.astype(np.float32), self.cols // self.groups, axis=1)

        if plain.zeros is not None:
            values -= spread(plain.zeros)
        values *= spread(plain.scales)
        if plain.mins is not None:
            values += spread(plain.mins)
        return values

    def tensors(self, name: str) -> dict[str, Array]:
        """Return the tensors of a shard that hold this matrix, by name."""
        parts: Mapping[str, Array | None] = {
            'weight' if self.format in ('f16', 'bf16') else 'qweight': self.weight,
            'scales': self.scales, 'mins': self.mins, 'zeros': self.zeros}
        return {f'{name}.{part}': array for part, array in parts.items() if array is not None}


def stack(matrices: list[Linear]) -> Linear:
    """Return one matrix of all rows; formats, widths and groups must be the same (ValueError)."""
    first = matrices[0]
    if len({(m.format, m.cols, m.group_size, m.layout) for m in matrices}) != 1:
        raise ValueError('matrices of different formats cannot be stacked')

    def joined(part: str) -> Array | None:
        arrays = [getattr(m, part) for m in matrices]
        return None if arrays[0] is None else np.concatenate(arrays)

    return replace(first, rows=sum(m.rows for m in matrices), weight=np.concatenate([m.weight for m in matrices]),
                   scales=joined('scales'), mins=joined('mins'), zeros=joined('zeros'))
