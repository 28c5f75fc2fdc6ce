# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Integers, scales and zero points of others as a matrix of ours, exactly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tinychat_core.checkpoint.linear import Linear
from tinychat_core.importers.packed_source import Parts, Values

Array = npt.NDArray[Any]

_GROUP_SIZES = (128, 64, 32)


def unpacked(words: Array, bits: int, order: Sequence[int] | None = None) -> npt.NDArray[np.uint8]:
    """
    Return the numbers [n, m * 32 / bits] of 4 or 8 bits in words int32 [n, m], the lowest bits first.

    `order`: which of a word's numbers its i-th place holds.
    """
    octets = np.ascontiguousarray(words).view(np.uint8)
    numbers = octets if bits == 8 else np.stack([octets & 15, octets >> 4], axis=-1).reshape(len(words), -1)
    if order is None:
        return numbers
    return numbers.reshape(len(words), -1, len(order))[..., np.argsort(order)].reshape(len(words), -1)


def four_bits(parts: Parts, q: Array, scales: Values, zeros: Array) -> Linear:
    """Return w4z: s * (q - z) of q [rows, cols], scales and zeros [rows, groups], all 0 to 15."""
    size, times = _regrouped(parts, q.shape[1], scales.shape[1])
    return Linear('w4z', q.shape[0], q.shape[1], size, None, q, np.repeat(_halves(parts, scales), times, axis=1),
                  zeros=np.repeat(zeros, times, axis=1))


def four_bits_and_minimum(parts: Parts, q: Array, scales: Values, mins: Values) -> Linear:
    """Return w4m: s * q + m of q [rows, cols], scales and minima [rows, groups]."""
    size, times = _regrouped(parts, q.shape[1], scales.shape[1])
    return Linear('w4m', q.shape[0], q.shape[1], size, None, q, np.repeat(_halves(parts, scales), times, axis=1),
                  np.repeat(_halves(parts, mins), times, axis=1))


def eight_bits(parts: Parts, q: Array, scales: Values) -> Linear:
    """Return w8g, or w8c where a row has one scale: s * q of q int8 [rows, cols], scales [rows, groups]."""
    if scales.shape[1] == 1:
        return Linear('w8c', q.shape[0], q.shape[1], 0, None, q, scales)
    size, times = _regrouped(parts, q.shape[1], scales.shape[1])
    return Linear('w8g', q.shape[0], q.shape[1], size, None, q, np.repeat(_halves(parts, scales), times, axis=1))


def signed(parts: Parts, q: Array, zeros: Array) -> npt.NDArray[np.int8]:
    """Return q - z as int8, of q [rows, cols] and zeros [rows, groups]; UnsupportedModelError where it overflows."""
    difference = q.astype(np.int16) - np.repeat(zeros.astype(np.int16), q.shape[1] // zeros.shape[1], axis=1)
    if difference.min() < -128 or difference.max() > 127:
        raise parts.unsupported('has 8 bits with zero points; 8 bits are supported where they are symmetric')
    return difference.astype(np.int8)


def _regrouped(parts: Parts, cols: int, groups: int) -> tuple[int, int]:
    """Return a group size of ours, and how many of ours are one of theirs."""
    if groups < 1 or cols % groups:
        raise parts.error(f'scales are {groups} for {cols} columns')
    theirs = cols // groups
    for ours in _GROUP_SIZES:
        if theirs % ours == 0:
            return ours, theirs // ours
    raise parts.unsupported(f'has groups of {theirs} columns; supported are 32, 64, 128 and what these divide')


def _halves(parts: Parts, values: Values) -> npt.NDArray[np.float16]:
    """Return the values as fp16, as they are stored; those that are finer than fp16 are rounded, which is said."""
    with np.errstate(over='ignore'):
        halves = values.astype(np.float16)
    if not np.isfinite(halves).all():
        raise parts.unsupported('has scales or minima beyond the range of fp16')
    if not np.array_equal(halves.astype(np.float32), values):
        parts.say('its scales are finer than fp16, and rounded to it')
    return halves
