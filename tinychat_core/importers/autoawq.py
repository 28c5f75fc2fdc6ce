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

from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from tinychat_core.checkpoint.linear import Linear
from tinychat_core.errors import UnsupportedModelError
from tinychat_core.importers.column_groups import column_groups, ColumnGroups
from tinychat_core.importers.integer_grid import four_bits, four_bits_and_minimum, unpacked
from tinychat_core.importers.options import Options
from tinychat_core.importers.quantized_source import QuantizedTensors

_WORD = (0, 2, 4, 6, 1, 3, 5, 7)
# Names of the layouts in a configuration; the shapes decide which of the three it is.
_VERSIONS = ('gemm', 'gemv', 'gemv_fast', 'exllama', 'exllamav2', 'ipex', 'llm-awq')


def quant_format(config: Options) -> Awq:
    """Return the format of a quantization_config; UnsupportedModelError names an unsupported option."""
    bits = config.whole('bits', config.whole('w_bit'))
    if bits != 4:
        raise UnsupportedModelError(f'{config.label}: AWQ with bits = {bits} is not supported; 4 is')
    for name in ('version', 'checkpoint_format', 'format'):
        if config.text(name, 'gemm').lower() not in _VERSIONS:
            raise config.refused(name, f'{", ".join(_VERSIONS)} are')
    name = 'group_size' if 'group_size' in config else 'q_group_size'
    size = config.group_size(name)
    return Awq(None if size is None else [size], symmetric=not config.flag('zero_point', True))


class Awq:
    """Matrices in any of the three layouts; `group_sizes` are those the configuration allows (None: unknown)."""

    marker = 'qweight'
    suffixes = ('qweight', 'qzeros', 'scaled_zeros', 'scales')

    def __init__(self, group_sizes: Collection[int] | None = None, symmetric: bool = False) -> None:
        """Take the settings of the configuration."""
        self._group_sizes, self._symmetric = group_sizes, symmetric

    def shape(self, tensors: QuantizedTensors) -> tuple[int, int]:
        """Return rows and columns."""
        first, second = tensors.shape('qweight')
        if tensors.dtype('qweight') == 'I16':
            return first * 4, second
        return (second * 8, first) if self._gemm(tensors) else (first, second * 8)

    def matrix(self, tensors: QuantizedTensors) -> Linear:
        """Return w4z, or w4m where -s*z is stored."""
        rows, cols = self.shape(tensors)
        if tensors.dtype('qweight') == 'I16':
            return self._fast(tensors, rows, cols)
        if self._gemm(tensors):
            count = tensors.shape('scales')[0]
            groups = column_groups(tensors, cols, count, self._group_sizes)
            zeros = unpacked(tensors.integers('qzeros', 'I32', (count, rows // 8)), 4, _WORD).T
            self._check_zeros(tensors, zeros)
            q = np.ascontiguousarray(unpacked(tensors.integers('qweight', 'I32'), 4, _WORD).T)
            return four_bits(tensors, q, tensors.numbers('scales', (count, rows)).T, zeros, groups)
        padded = tensors.shape('scales')[1]
        scales = tensors.numbers('scales', (rows, padded))
        count, groups = self._padded_groups(tensors, scales, cols)
        if padded % 8:
            raise tensors.error(f'scales have {padded} columns, which is not a multiple of 8')
        zeros = unpacked(tensors.integers('qzeros', 'I32', (rows, padded // 8)), 4)[:, :count]
        self._check_zeros(tensors, zeros)
        return four_bits(tensors, unpacked(tensors.integers('qweight', 'I32'), 4), scales[:, :count], zeros, groups)

    def _fast(self, tensors: QuantizedTensors, rows: int, cols: int) -> Linear:
        padded = tensors.shape('scales')[0]
        if cols % 64:
            raise tensors.error(f'qweight has {cols} columns, which is not a multiple of 64')
        scales = tensors.numbers('scales', (padded, rows)).T
        mins = tensors.numbers('scaled_zeros', (padded, rows)).T
        count, groups = self._padded_groups(tensors, scales, cols)
        return four_bits_and_minimum(tensors, _interleaved(tensors.integers('qweight', 'I16')), scales[:, :count],
                                     mins[:, :count], groups)

    def _padded_groups(self, tensors: QuantizedTensors, scales: npt.NDArray[np.float32],
                       cols: int) -> tuple[int, ColumnGroups]:
        """Return the number of scales per row without the zero padding, and their groups."""
        used = np.flatnonzero(scales.any(axis=0))
        count = int(used[-1]) + 1 if len(used) else 0
        return count, column_groups(tensors, cols, count, self._group_sizes)

    def _check_zeros(self, tensors: QuantizedTensors, zeros: npt.NDArray[np.uint8]) -> None:
        if self._symmetric and (zeros != 8).any():
            tensors.say('zero_point is false, but its zero points are not all 8; they are read as they are stored')

    def _gemm(self, tensors: QuantizedTensors) -> bool:
        first, second = tensors.shape('qweight')
        scales = tensors.shape('scales')
        if second * 8 == scales[1] and first > scales[0]:
            return True
        if first == scales[0]:
            return False
        raise tensors.error(f'scales have the shape {list(scales)}, which does not fit qweight {[first, second]}')


def _interleaved(words: npt.NDArray[np.int16]) -> npt.NDArray[np.uint8]:
    """
    Return q [rows, cols] from int16 [rows/4, cols].

    A word holds the same position of four rows, whose runs of 64 columns are stored one after the other; within 32
    columns, pairs 8 apart are adjacent, and of these 8 numbers the even ones come first.
    """
    quads, cols = words.shape
    places = np.ascontiguousarray(words).view(np.uint16).reshape(quads, cols // 64, 64)
    # Word 16 r + i of 64 holds columns 4 i to 4 i + 3 of row r, starting at the lowest bits.
    nibbles = np.stack([(places >> shift & 15).astype(np.uint8) for shift in (0, 4, 8, 12)], axis=-1)
    rows = nibbles.reshape(quads, cols // 64, 4, 64).transpose(0, 2, 1, 3).reshape(quads * 4, cols)
    return np.ascontiguousarray(rows.reshape(quads * 4, cols // 32, 32)[..., np.argsort(_PLACES)].reshape(-1, cols))


# The column stored at each of 32 positions.
_PLACES = np.arange(32).reshape(4, 4, 2).transpose(1, 0, 2).reshape(4, 4, 2).transpose(0, 2, 1).reshape(-1)
