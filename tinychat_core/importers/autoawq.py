# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
AWQ as AutoAWQ and llm-awq pack it: s * (q - z) with 4-bit q and z, fp16 s.

Three layouts (awq/modules/linear in github.com/casper-hansen/AutoAWQ, awq/quantize/qmodule.py in
github.com/mit-han-lab/llm-awq), which the shapes tell apart:

    gemm        int32 [cols, rows/8], eight rows of a column in a word, 0 2 4 6 1 3 5 7 from the lowest bits
    gemv        int32 [rows, cols/8], eight columns of a row in a word; llm-awq's first version
    gemv_fast   int16 [rows/4, cols], rows interleaved, and -s*z instead of z; llm-awq's second version

The last two pad their scales with zeros.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tinychat_core.checkpoint.linear import Linear
from tinychat_core.errors import UnsupportedModelError
from tinychat_core.importers.integer_grid import four_bits, four_bits_and_minimum, unpacked
from tinychat_core.importers.packed_source import Packing, Parts

_WORD = (0, 2, 4, 6, 1, 3, 5, 7)


def packing(config: Mapping[str, Any], label: str) -> Packing:
    """Return the packing of a quantization_config; UnsupportedModelError names an option that is not served."""
    bits = config.get('bits', config.get('w_bit'))
    if bits != 4:
        raise UnsupportedModelError(f'{label}: AWQ with bits = {bits} is not supported; 4 is')
    return Awq()


class Awq:
    """Matrices in any of the three layouts."""

    marker = 'qweight'
    parts = ('qweight', 'qzeros', 'scaled_zeros', 'scales')

    def shape(self, parts: Parts) -> tuple[int, int]:
        """Return rows and columns."""
        first, second = parts.shape('qweight')
        if parts.dtype('qweight') == 'I16':
            return first * 4, second
        return (second * 8, first) if self._gemm(parts) else (first, second * 8)

    def matrix(self, parts: Parts) -> Linear:
        """Return w4z, or w4m where -s*z is stored."""
        rows, cols = self.shape(parts)
        if parts.dtype('qweight') == 'I16':
            return self._fast(parts, rows, cols)
        if self._gemm(parts):
            groups = parts.shape('scales')[0]
            return four_bits(parts, np.ascontiguousarray(
                unpacked(parts.integers('qweight', 'I32'), 4, _WORD).T), parts.numbers('scales', (groups, rows)).T,
                unpacked(parts.integers('qzeros', 'I32', (groups, rows // 8)), 4, _WORD).T)
        padded = parts.shape('scales')[1]
        scales = parts.numbers('scales', (rows, padded))
        groups = _groups(parts, scales, cols)
        zeros = unpacked(parts.integers('qzeros', 'I32', (rows, padded // 8)), 4)
        return four_bits(parts, unpacked(parts.integers('qweight', 'I32'), 4), scales[:, :groups], zeros[:, :groups])

    def _fast(self, parts: Parts, rows: int, cols: int) -> Linear:
        padded = parts.shape('scales')[0]
        if cols % 64:
            raise parts.error(f'qweight has {cols} columns, which 64 does not divide')
        scales = parts.numbers('scales', (padded, rows)).T
        mins = parts.numbers('scaled_zeros', (padded, rows)).T
        groups = _groups(parts, scales, cols)
        return four_bits_and_minimum(parts, _interleaved(parts.integers('qweight', 'I16')), scales[:, :groups],
                                     mins[:, :groups])

    def _gemm(self, parts: Parts) -> bool:
        first, second = parts.shape('qweight')
        scales = parts.shape('scales')
        if second * 8 == scales[1] and first > scales[0]:
            return True
        if first == scales[0]:
            return False
        raise parts.error(f'scales have the shape {list(scales)}, which does not fit qweight {[first, second]}')


def _interleaved(words: npt.NDArray[np.int16]) -> npt.NDArray[np.uint8]:
    """
    Return q [rows, cols] from int16 [rows/4, cols].

    A word holds the same place of four rows, whose stretches of 64 columns follow each other; within 32 columns,
    pairs 8 apart stand together, and of these 8 numbers the even ones come first.
    """
    quads, cols = words.shape
    places = np.ascontiguousarray(words).view(np.uint16).reshape(quads, cols // 64, 64)
    # Place 16 r + i of 64 holds columns 4 i to 4 i + 3 of row r, from the lowest bits.
    nibbles = np.stack([(places >> shift & 15).astype(np.uint8) for shift in (0, 4, 8, 12)], axis=-1)
    rows = nibbles.reshape(quads, cols // 64, 4, 64).transpose(0, 2, 1, 3).reshape(quads * 4, cols)
    return np.ascontiguousarray(rows.reshape(quads * 4, cols // 32, 32)[..., np.argsort(_PLACES)].reshape(-1, cols))


# The column that each place of 32 holds.
_PLACES = np.arange(32).reshape(4, 4, 2).transpose(1, 0, 2).reshape(4, 4, 2).transpose(0, 2, 1).reshape(-1)


def _groups(parts: Parts, scales: npt.NDArray[np.float32], cols: int) -> int:
    """Return how many scales of a row are not padding: what follows the last one that is not zero."""
    used = np.flatnonzero(scales.any(axis=0))
    groups = int(used[-1]) + 1 if len(used) else 0
    if groups == 0 or cols % groups:
        raise parts.error(f'scales are {groups} for {cols} columns; the file is damaged')
    return groups
