# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A weight matrix in one of the formats of a checkpoint, and its conversion into and out of a layout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tinychat_core.checkpoint.formats import FORMATS
from tinychat_core.checkpoint.input_order import InputOrder
from tinychat_core.checkpoint.layouts import LAYOUTS, pack, pack_pairs, pack_zeros, unpack, unpack_pairs, unpack_zeros

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Linear:
    """
    A matrix [rows, cols] of y = W x.

    `format` is one of `FORMATS`, or f32 before the conversion to one. `weight` holds q or the value itself (bf16 as
    uint16); `scales`, `mins` and `zeros` have one element per group of `group_size` columns (w8c: one per row; with
    `subscales`: one per block, see `FORMATS`). With the layout None all are matrices [rows, …]; in a named layout each
    is flat, in stored order. `order` says which input element each column multiplies; None: column j multiplies element
    j.
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
    subscales: Array | None = None
    order: InputOrder | None = None

    @property
    def groups(self) -> int:
        """Groups per row."""
        return self.cols // self.group_size if self.group_size else 1

    def packed(self, layout: str) -> Linear:
        """Return the matrix in a named layout; scales and minima are stored column by column."""
        if self.layout is not None:
            return self if self.layout == layout else self.unpacked().packed(layout)
        order, bits = LAYOUTS[layout], FORMATS[self.format].bits
        single = replace(order, step=1)
        return replace(self._each(lambda array: pack(array, single)), layout=layout,
                       weight=pack(self.weight, order, bits),
                       zeros=None if self.zeros is None else pack_zeros(self.zeros, order),
                       subscales=None if self.subscales is None else (
                           pack_pairs if self.mins is not None else pack)(self.subscales, single))

    def unpacked(self) -> Linear:
        """Return the matrix with arrays of the shapes [rows, cols] and [rows, groups]."""
        if self.layout is None:
            return self
        order, form = LAYOUTS[self.layout], FORMATS[self.format]
        single, grouped = replace(order, step=1), (self.rows, self.groups)
        scaled = (self.rows, self.cols // form.block) if form.block else grouped
        return replace(self._each(lambda array: unpack(array, scaled, single)), layout=None,
                       weight=unpack(self.weight, (self.rows, self.cols), order, form.bits),
                       zeros=None if self.zeros is None else unpack_zeros(self.zeros, grouped, order),
                       subscales=None if self.subscales is None else (
                           unpack_pairs if self.mins is not None else unpack)(self.subscales, grouped, single))

    def take(self, rows: Array) -> Linear:
        """Return the given rows of an unpacked matrix."""
        assert self.layout is None
        return replace(self._each(lambda array: array[rows]), rows=len(rows), weight=self.weight[rows],
                       zeros=None if self.zeros is None else self.zeros[rows],
                       subscales=None if self.subscales is None else self.subscales[rows],
                       order=None if self.order is None else self.order.take(rows))

    def dequantized(self) -> npt.NDArray[np.float32]:
        """Return the values, float32 [rows, cols], with columns in the order of the input."""
        plain = self.unpacked()
        values = plain._in_stored_order()
        return values if self.order is None else self.order.in_input_order(values)

    def _in_stored_order(self) -> npt.NDArray[np.float32]:
        plain = self
        if self.format == 'bf16':
            return (plain.weight.astype(np.uint32) << 16).view(np.float32)
        values = plain.weight.astype(np.float32)
        if plain.scales is None:
            return values
        grouped = values.reshape(self.rows, self.groups, -1)
        if center := FORMATS[self.format].center:
            grouped -= np.float32(center)
        if plain.subscales is not None:
            # Products of an fp16 number with 8 bits and 5 bits are exact in float32.
            first, *second = np.moveaxis(plain.subscales.reshape(self.rows, self.groups, -1), 2, 0).astype(np.float32)
            times = self.groups // plain.scales.shape[1]
            grouped *= (np.repeat(plain.scales.astype(np.float32), times, axis=1) * first)[..., None]
            if plain.mins is not None:
                grouped -= (np.repeat(plain.mins.astype(np.float32), times, axis=1) * second[0])[..., None]
            return values
        if plain.zeros is not None:
            grouped -= plain.zeros.astype(np.float32)[..., None]
        grouped *= plain.scales.astype(np.float32)[..., None]
        if plain.mins is not None:
            grouped += plain.mins.astype(np.float32)[..., None]
        return values

    def in_16_bits(self) -> Linear:
        """
        Return a float32 matrix as bf16 where that is exact, else rounded to f16.

        Weights that were trained in bf16 are often published as float32. Values too large for f16 are rounded to bf16.
        """
        bits = self.weight.astype(np.float32, copy=False).view(np.uint32)
        if not np.any(bits & 0xffff):
            return replace(self, format='bf16', weight=(bits >> 16).astype(np.uint16))
        if np.max(np.abs(self.weight)) < 65520:  # rounds to less than infinity
            return replace(self, format='f16', weight=self.weight.astype(np.float16))
        nearest_even = bits + 0x7fff + (bits >> 16 & 1)
        return replace(self, format='bf16', weight=(nearest_even >> 16).astype(np.uint16))

    def arrays(self) -> dict[str, Array]:
        """Return the arrays of the matrix by the suffixes of their names in a shard."""
        arrays = {FORMATS[self.format].weight_name: self.weight, 'scales': self.scales, 'mins': self.mins,
                  'zeros': self.zeros, 'subscales': self.subscales}
        return {name: array for name, array in arrays.items() if array is not None}

    def _each(self, change: Callable[[Array], Array]) -> Linear:
        """Return the matrix with converted scales and minima."""
        return replace(self, scales=None if self.scales is None else change(self.scales),
                       mins=None if self.mins is None else change(self.mins))


def stack(matrices: list[Linear]) -> Linear:
    """
    Stack unpacked matrices of one format.

    The smallest group size is used for all. Raises ValueError if it does not divide the others, or if formats or widths
    differ.
    """
    smallest = min(matrix.group_size for matrix in matrices)
    alike = [_in_groups(matrix, smallest) for matrix in matrices]
    first = alike[0]
    if len({(m.format, m.cols, m.group_size, m.layout) for m in alike}) != 1:
        raise ValueError('formats, widths or groups differ')
    if len(alike) == 1:
        return first

    def joined(part: str) -> Array | None:
        arrays = [getattr(m, part) for m in alike]
        return None if arrays[0] is None else np.concatenate(arrays)

    return replace(first, rows=sum(m.rows for m in alike), weight=np.concatenate([m.weight for m in alike]),
                   scales=joined('scales'), mins=joined('mins'), zeros=joined('zeros'), subscales=joined('subscales'),
                   order=InputOrder.joined([m.order for m in alike], [m.rows for m in alike], first.cols))


def _in_groups(matrix: Linear, size: int) -> Linear:
    """Return the unpacked matrix in groups of `size` columns, unchanged where `size` does not divide its groups."""
    if not size or matrix.group_size == size or matrix.group_size % size:
        return matrix
    times = matrix.group_size // size
    wide = matrix._each(lambda array: np.repeat(array, times, axis=1))
    return replace(wide, group_size=size,
                   zeros=None if matrix.zeros is None else np.repeat(matrix.zeros, times, axis=1))
