# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
The compressed-tensors formats of llm-compressor and vLLM (github.com/vllm-project/compressed-tensors).

    pack-quantized   weight_packed int32 [rows, cols * bits / 32], weight_zero_point int32 [rows * bits / 32, groups];
                     4 and 8 bits, the lowest bits first, both stored with 2^(bits-1) added
    int-quantized    weight int8 [rows, cols], weight_zero_point int8 [rows, groups]

weight_scale is [rows, groups], one group where a row has one scale; weight_shape int64 [2] is [rows, cols].
"""

from __future__ import annotations

from collections.abc import Mapping
import logging
from typing import Any

import numpy as np

from tinychat_core.checkpoint.linear import Linear
from tinychat_core.errors import UnsupportedModelError
from tinychat_core.importers.integer_grid import eight_bits, four_bits, signed, unpacked
from tinychat_core.importers.packed_source import Packing, Parts

_log = logging.getLogger(__name__)

_FORMATS = ('pack-quantized', 'int-quantized')


def packing(config: Mapping[str, Any], label: str) -> Packing:
    """Return the packing of a quantization_config; UnsupportedModelError names an option that is not served."""
    groups = config.get('config_groups')
    if not isinstance(groups, dict) or not all(isinstance(group, dict) for group in groups.values()):
        raise UnsupportedModelError(f'{label}: compressed-tensors without config_groups is not supported')
    formats = {group.get('format') or config.get('format') for group in groups.values()}

    def refuse(what: str, instead: str) -> UnsupportedModelError:
        return UnsupportedModelError(f'{label}: compressed-tensors with {what} is not supported; {instead}')

    for format_ in formats:
        if format_ not in _FORMATS:
            raise refuse(f'format = {format_}', f'{" and ".join(_FORMATS)} are')
    for name in ('kv_cache_scheme', 'transform_config'):
        if config.get(name):
            raise refuse(name, 'leave it out when you quantize')
    if (config.get('sparsity_config') or {}).get('format', 'dense') != 'dense':
        raise refuse('sparsity_config', 'dense weights are')
    for group in groups.values():
        weights = group.get('weights') or {}
        if weights.get('num_bits') not in (4, 8) or weights.get('type', 'int') != 'int':
            raise refuse(f'weights of {weights.get("num_bits")} bits and type {weights.get("type", "int")}',
                         'integers of 4 and 8 bits are')
        if (group.get('input_activations') or {}).get('dynamic') is False:
            _log.warning('%s: its fixed scales of activations are not used; W8A8 finds one for each token', label)
    return CompressedTensors()


class CompressedTensors:
    """Matrices of 4 or 8 bits."""

    marker = 'weight_scale'
    parts = ('weight', 'weight_packed', 'weight_scale', 'weight_zero_point', 'weight_shape', 'weight_g_idx',
             'input_scale', 'input_zero_point')

    def shape(self, parts: Parts) -> tuple[int, int]:
        """Return rows and columns."""
        if 'weight_packed' not in parts:
            rows, cols = parts.shape('weight')
            return rows, cols
        shape = parts.integers('weight_shape', 'I64', (2,)).tolist()
        rows, words = parts.shape('weight_packed')
        if shape[0] != rows or shape[1] not in (words * 8, words * 4):
            raise parts.error(f'weight_packed has the shape {[rows, words]}, which does not fit weight_shape {shape}')
        return rows, shape[1]

    def matrix(self, parts: Parts) -> Linear:
        """Return w4z, w8g or w8c."""
        rows, cols = self.shape(parts)
        groups = parts.shape('weight_scale')[1]
        if groups < 1 or cols % groups:
            raise parts.error(f'weight_scale has {groups} groups for {cols} columns')
        scales = parts.numbers('weight_scale', (rows, groups))
        if 'weight_g_idx' in parts:
            order = parts.integers('weight_g_idx', 'I32', (cols,))
            if not np.array_equal(order, np.arange(cols) // (cols // groups)):
                raise parts.unsupported('is ordered by activation (actorder = group), which is not supported; quantize '
                                        'it with actorder = weight')
        if 'weight_packed' not in parts:
            return self._int(parts, rows, scales)
        bits = parts.shape('weight_packed')[1] * 32 // cols
        q = unpacked(parts.integers('weight_packed', 'I32'), bits)
        zeros = np.full((rows, groups), 1 << (bits - 1), dtype=np.uint8)
        if 'weight_zero_point' in parts:
            words = parts.integers('weight_zero_point', 'I32', (-(-rows * bits // 32), groups))
            zeros = unpacked(words.T, bits)[:, :rows].T
        return four_bits(parts, q, scales, zeros) if bits == 4 else eight_bits(parts, signed(parts, q, zeros), scales)

    def _int(self, parts: Parts, rows: int, scales: np.ndarray[Any, np.dtype[np.float32]]) -> Linear:
        q = parts.integers('weight', 'I8')
        if 'weight_zero_point' in parts and parts.integers('weight_zero_point', 'I8', (rows, scales.shape[1])).any():
            raise parts.unsupported('has 8 bits with zero points; 8 bits are supported where they are symmetric')
        return eight_bits(parts, q, scales)
