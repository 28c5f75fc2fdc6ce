# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
GPTQ as AutoGPTQ and GPTQModel pack it: s * (q - z) with q and z of 4 or 8 bits, fp16 s.

qweight int32 [cols * bits / 32, rows]: columns of one row in a word. qzeros int32 [groups, rows * bits / 32]: rows
of one group in a word, less one in the first version of the format (github.com/AutoGPTQ/AutoGPTQ, qlinear_*.py),
as they are in `gptq_v2` (github.com/ModelCloud/GPTQModel). g_idx int32 [cols] is the group of each column.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tinychat_core.checkpoint.linear import Linear
from tinychat_core.errors import UnsupportedModelError
from tinychat_core.importers.integer_grid import eight_bits, four_bits, signed, unpacked
from tinychat_core.importers.packed_source import Packing, Parts

_LESS_ONE = {'gptq': True, 'gptq_v2': False}


def packing(config: Mapping[str, Any], label: str) -> Packing:
    """Return the packing of a quantization_config; UnsupportedModelError names an option that is not served."""
    bits, format_ = config.get('bits'), config.get('checkpoint_format') or 'gptq'
    if bits not in (4, 8):
        raise UnsupportedModelError(f'{label}: GPTQ with bits = {bits} is not supported; 4 and 8 are')
    if format_ not in _LESS_ONE or config.get('is_marlin_format'):
        raise UnsupportedModelError(f'{label}: GPTQ with checkpoint_format = {format_} is not supported; '
                                    f'{" and ".join(_LESS_ONE)} are')
    others = [rule for rule, options in (config.get('dynamic') or {}).items() if options and rule[:1] != '-']
    if others:
        raise UnsupportedModelError(f'{label}: GPTQ with dynamic = {others[0]} is not supported; one number of bits '
                                    'for all is')
    return Gptq(bits, _LESS_ONE[format_])


class Gptq:
    """Matrices of 4 or 8 bits; `less_one`: zero points are stored less one."""

    marker = 'qweight'
    parts = ('qweight', 'qzeros', 'scales', 'g_idx')

    def __init__(self, bits: int, less_one: bool) -> None:
        """Hold what the configuration says."""
        self._bits, self._less_one = bits, less_one

    def shape(self, parts: Parts) -> tuple[int, int]:
        """Return rows and columns."""
        words, rows = parts.shape('qweight')
        return rows, words * 32 // self._bits

    def matrix(self, parts: Parts) -> Linear:
        """Return w4z, w8g or w8c."""
        rows, cols = self.shape(parts)
        groups = parts.shape('scales')[0]
        if groups < 1 or cols % groups:
            raise parts.error(f'scales are {groups} for {cols} columns')
        q = unpacked(parts.integers('qweight', 'I32').T, self._bits)
        scales = np.ascontiguousarray(parts.numbers('scales', (groups, rows)).T)
        zeros = unpacked(parts.integers('qzeros', 'I32', (groups, rows * self._bits // 32)), self._bits).T
        if self._less_one:
            # One more than the largest is 0: what was less than 0 when it was stored.
            zeros = (zeros + 1).astype(np.uint8) & (2 ** self._bits - 1)
        if 'g_idx' in parts:
            _check_order(parts, parts.integers('g_idx', 'I32', (cols,)), groups)
        if self._bits == 8:
            return eight_bits(parts, signed(parts, q, zeros), scales)
        return four_bits(parts, q, scales, zeros)


def _check_order(parts: Parts, group_of: npt.NDArray[np.int32], groups: int) -> None:
    """Raise UnsupportedModelError where the columns of a group do not lie together."""
    if not np.array_equal(group_of, np.arange(len(group_of)) // (len(group_of) // groups)):
        raise parts.unsupported('is ordered by activation (desc_act), which is not supported; quantize it with '
                                'desc_act = False or static_groups = True')
