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
from tinychat_core.checkpoint.layouts import LAYOUTS, pack, pack_zeros, unpack, unpack_zeros

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Linear:
    """
    A matrix [rows, cols] of y = W x.

    `format` is one of `FORMATS`, or f32 before the conversion to one. `weight` holds q or the value itself (bf16 as
    uint16); `scales`, `mins` and `zeros` have one element per group of `group_size` columns (w8c: one per row). With
    the layout None all are matrices [rows, …]; in a named layout each is flat, in stored order. `order` says which
    input element each column multiplies; None: column j multiplies element j.
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
                       zeros=None if self.zeros is None else pack_zeros(self.zeros, order))

    def unpacked(self) -> Linear:
        """Return the matrix with arrays of the shapes [rows, cols] and [rows, groups]."""
        if self.layout is None:
            return self
        order, bits = LAYOUTS[self.layout], FORMATS[self.format].bits
        single, grouped = replace(order, step=1), (self.rows, self.groups)
        return replace(self._each(lambda array: unpack(array, grouped, single)), layout=None,
                       weight=unpack(self.weight, (self.rows, self.cols), order, bits),
                       zeros=None if self.zeros is None else unpack_zeros(self.zeros, grouped, order))

    def take(self, rows: Array) -> Linear:
        """Return the given rows of an unpacked matrix."""
        assert self.layout is None
        return replace(self._each(lambda array: array[rows]), rows=len(rows), weight=self.weight[rows],
                       zeros=None if self.zeros is None else self.zeros[rows],
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
                  'zeros': self.zeros}
        return {name: array for name, array in arrays.items() if array is not None}

    def _each(self, change: Callable[[Array], Array]) -> Linear:
        """Return the matrix with converted scales and minima."""
        return replace(self, scales=None if self.scales is None else change(self.scales),
                       mins=None if self.mins is None else change(self.mins))


def stack(matrices: list[Linear]) -> Linear:
    """
    Stack unpacked matrices, converted to the first format that represents all of them exactly.

    The smallest group size is used for all. Raises ValueError where it does not divide the others, where no format fits
    or where widths differ.
    """
    for matrix in matrices:
        try:
            alike = [converted(other, matrix.format) for other in matrices]
            break
        except ValueError:
            continue
    else:
        raise ValueError(f'no format represents {", ".join(m.format for m in matrices)} exactly')
    smallest = min(matrix.group_size for matrix in alike)
    alike = [_in_groups(matrix, smallest) for matrix in alike]
    first = alike[0]
    if len({(m.cols, m.group_size, m.layout) for m in alike}) != 1:
        raise ValueError('widths or groups differ')
    if len(alike) == 1:
        return first

    def joined(part: str) -> Array | None:
        arrays = [getattr(m, part) for m in alike]
        return None if arrays[0] is None else np.concatenate(arrays)

    return replace(first, rows=sum(m.rows for m in alike), weight=np.concatenate([m.weight for m in alike]),
                   scales=joined('scales'), mins=joined('mins'), zeros=joined('zeros'),
                   order=InputOrder.joined([m.order for m in alike], [m.rows for m in alike], first.cols))


def _in_groups(matrix: Linear, size: int) -> Linear:
    """Return the unpacked matrix in groups of `size` columns, unchanged where `size` does not divide its groups."""
    if not size or matrix.group_size == size or matrix.group_size % size:
        return matrix
    times = matrix.group_size // size
    wide = matrix._each(lambda array: np.repeat(array, times, axis=1))
    return replace(wide, group_size=size,
                   zeros=None if matrix.zeros is None else np.repeat(matrix.zeros, times, axis=1))


def converted(matrix: Linear, format_: str) -> Linear:
    """
    Return the unpacked matrix in another format, with exactly the same values.

    w4z can become w8g, and w4m with the minimum -s*z where fp16 represents all of these; anything else is a ValueError.
    """
    if matrix.format == format_:
        return matrix
    if matrix.format == 'w4z' and matrix.scales is not None and matrix.zeros is not None:
        if format_ == 'w8g':
            spread = np.repeat(matrix.zeros.astype(np.int8), matrix.group_size, axis=1)
            return replace(matrix, format='w8g', weight=matrix.weight.astype(np.int8) - spread, zeros=None)
        if format_ == 'w4m':
            wanted = -(matrix.scales.astype(np.float32) * matrix.zeros.astype(np.float32))
            with np.errstate(over='ignore'):
                mins = wanted.astype(np.float16)
            if np.array_equal(mins.astype(np.float32), wanted):
                return replace(matrix, format='w4m', mins=mins, zeros=None)
    raise ValueError(f'{format_} does not represent {matrix.format} exactly')
