# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Converts integers, scales and zero points of other formats into a matrix, exactly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tinychat_core.checkpoint.input_order import InputOrder
from tinychat_core.checkpoint.linear import Linear
from tinychat_core.importers.column_groups import ColumnGroups
from tinychat_core.importers.quantized_source import QuantizedTensors, Values

Array = npt.NDArray[Any]


def unpacked(words: Array, bits: int, order: Sequence[int] | None = None) -> npt.NDArray[np.uint8]:
    """
    Unpack 4- or 8-bit elements [n, m * word bits / bits] from words [n, m], the lowest bits first.

    `order`: position i of a word holds its element `order[i]`.
    """
    octets = np.ascontiguousarray(words).view(np.uint8)
    numbers = octets if bits == 8 else np.stack([octets & 15, octets >> 4], axis=-1).reshape(len(words), -1)
    if order is None:
        return numbers
    return numbers.reshape(len(words), -1, len(order))[..., np.argsort(order)].reshape(len(words), -1)


def four_bits(tensors: QuantizedTensors, q: Array, scales: Values, zeros: Array, groups: ColumnGroups) -> Linear:
    """Return w4z: s * (q - z) of q [rows, cols], scales and zeros [rows, the source's groups], all 0 to 15."""
    return _grouped('w4z', q, _halves(tensors, scales), groups, zeros=zeros)


def four_bits_and_minimum(tensors: QuantizedTensors, q: Array, scales: Values, mins: Values,
                          groups: ColumnGroups) -> Linear:
    """Return w4m: s * q + m of q [rows, cols], scales and minima [rows, the source's groups]."""
    return _grouped('w4m', q, _halves(tensors, scales), groups, mins=_halves(tensors, mins))


def eight_bits(tensors: QuantizedTensors, q: Array, scales: Values, zeros: Array | None,
               groups: ColumnGroups) -> Linear:
    """
    Return w8g, or w8c where a row has one scale: s * (q - z) of q [rows, cols], scales and zeros [rows, groups].

    Raises UnsupportedModelError where q - z needs more than 8 bits.
    """
    if zeros is not None:
        q = _signed(tensors, q, zeros, groups)
    if scales.shape[1] == 1:
        return Linear('w8c', q.shape[0], q.shape[1], 0, None, q, np.ascontiguousarray(scales))
    return _grouped('w8g', q, _halves(tensors, scales), groups)


def _signed(tensors: QuantizedTensors, q: Array, zeros: Array, groups: ColumnGroups) -> npt.NDArray[np.int8]:
    spread = np.repeat(zeros.astype(np.int16)[:, groups.source], groups.size, axis=1)
    if groups.order is not None:
        spread = spread[:, np.argsort(groups.order)]
    difference = q.astype(np.int16) - spread
    if difference.min() < -128 or difference.max() > 127:
        raise tensors.unsupported('has 8-bit integers with zero points; only symmetric 8-bit integers are supported')
    return difference.astype(np.int8)


def _grouped(format_: str, q: Array, scales: Array, groups: ColumnGroups, *, zeros: Array | None = None,
             mins: Array | None = None) -> Linear:
    """Return a matrix with our groups, its columns in the stored order."""
    def spread(values: Array | None) -> Array | None:
        return None if values is None else np.ascontiguousarray(values[:, groups.source])

    if groups.order is not None:
        q = np.ascontiguousarray(q[:, groups.order])
    order = None if groups.order is None else InputOrder.of(groups.order, len(q))
    return Linear(format_, q.shape[0], q.shape[1], groups.size, None, q, spread(scales), spread(mins), spread(zeros),
                  order=order)


def _halves(tensors: QuantizedTensors, values: Values) -> npt.NDArray[np.float16]:
    """Return the values rounded to fp16, with a warning where that is not exact."""
    with np.errstate(over='ignore'):
        halves = values.astype(np.float16)
    if not np.isfinite(halves).all():
        raise tensors.unsupported('has scales or minima beyond the range of fp16')
    if not np.array_equal(halves.astype(np.float32), values):
        tensors.say('its scales are more precise than fp16, and are rounded to fp16')
    return halves
