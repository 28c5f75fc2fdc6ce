# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
The compressed-tensors formats of llm-compressor and vLLM (github.com/vllm-project/compressed-tensors).

    pack-quantized   weight_packed int32 [rows, cols * bits / 32], weight_zero_point int32 [rows * bits / 32, groups];
                     4 and 8 bits, the lowest bits first, both stored with 2^(bits-1) added
    int-quantized    weight int8 [rows, cols], weight_zero_point int8 [rows, groups]; also called naive-quantized

weight_scale is [rows, groups], one group where a row has one scale, and [1] or a scalar where the matrix has one; so is
weight_zero_point, which is int8 wherever it is not packed. weight_shape int64 [2] is [rows, cols]. weight_g_idx int32
[cols] is the group of each column, where those are ordered by activation.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import numpy.typing as npt

from tinychat_core.checkpoint.linear import Linear
from tinychat_core.errors import UnsupportedModelError
from tinychat_core.importers.column_groups import column_groups, WHOLE_ROW
from tinychat_core.importers.integer_grid import eight_bits, four_bits, unpacked
from tinychat_core.importers.options import bare, Options
from tinychat_core.importers.quantized_source import QuantizedTensors, Values

_log = logging.getLogger(__name__)

_FORMATS = ('pack-quantized', 'int-quantized')
_ALSO_INT = 'naive-quantized'
_ACTIVATIONS = ('input_activations', 'output_activations')


def quant_format(config: Options) -> CompressedTensors:
    """Return the format of a quantization_config; UnsupportedModelError names an unsupported option."""
    groups = config.groups('config_groups')
    if not groups:
        raise UnsupportedModelError(f'{config.label}: compressed-tensors without config_groups is not supported')

    def refuse(what: str, instead: str) -> UnsupportedModelError:
        return UnsupportedModelError(f'{config.label}: compressed-tensors with {what} is not supported; {instead}')

    for name in ('kv_cache_scheme', 'transform_config'):
        if config.group(name):
            raise refuse(name, 'leave it out when you quantize')
    if config.group('sparsity_config').text('format', 'dense') != 'dense':
        raise refuse('sparsity_config', 'dense weights are')
    sizes, bits, symmetric, ordered = set[int | None](), set[int](), set[bool | None](), False
    for group in groups.values():
        format_ = group.text('format') or config.text('format', 'None')
        if format_ not in (*_FORMATS, _ALSO_INT):
            raise refuse(f'format = {bare(format_)}', f'{" and ".join(_FORMATS)} are')
        weights = group.group('weights')
        kind, count = weights.text('type', 'int').lower(), weights.whole('num_bits')
        if count not in (4, 8) or kind != 'int':
            raise refuse(f'weights of {count} bits and type {bare(kind)}', 'integers of 4 and 8 bits are')
        bits.add(count)
        sizes.add(_group_size(weights))
        symmetric.add(weights.flag('symmetric', True) if 'symmetric' in weights else None)
        ordered |= _ordered(weights)
        _check_activations(config, group)
    known = {size for size in sizes if size is not None}
    return CompressedTensors(bits, None if None in sizes else known, symmetric, ordered)


def _group_size(weights: Options) -> int | None:
    """Return the group size of a scheme; None where it has none."""
    strategy, size = weights.text('strategy').lower(), weights.group_size()
    if strategy not in ('', 'group', 'channel', 'tensor'):
        raise weights.refused('strategy', 'group, channel and tensor are')
    if strategy in ('channel', 'tensor'):
        return WHOLE_ROW
    if strategy == 'group' and not size:
        raise weights.refused('group_size', 'the strategy group needs one')
    return size


def _ordered(weights: Options) -> bool:
    """Return whether columns and their groups are ordered by activation."""
    if weights.of('actorder', bool):
        return weights.flag('actorder', False)
    order = weights.text('actorder', 'weight').lower()
    if order not in ('weight', 'static', 'group', 'dynamic'):
        raise weights.refused('actorder', 'weight and group are')
    return order in ('group', 'dynamic')


def _check_activations(config: Options, group: Options) -> None:
    for name in _ACTIVATIONS:
        activations = group.group(name)
        if not activations:
            continue
        if activations.text('type', 'int').lower() != 'int':
            _log.warning('%s: its activations are not rounded to floats of %s bits', config.label,
                         activations.whole('num_bits', 8))
        elif activations.of('dynamic', str) or not activations.flag('dynamic', False):
            _log.warning('%s: its static activation scales are not used; W8A8 computes one for each token',
                         config.label)


class CompressedTensors:
    """Matrices with any of these bit widths and group sizes (None: unknown)."""

    marker = 'weight_scale'
    suffixes = ('weight', 'weight_packed', 'weight_scale', 'weight_zero_point', 'weight_shape', 'weight_g_idx',
                'input_scale', 'input_zero_point', 'output_scale', 'output_zero_point')

    def __init__(self, bits: set[int], group_sizes: set[int] | None, symmetric: set[bool | None],
                 ordered: bool = False) -> None:
        """
        Hold what the configuration says.

        `symmetric`: whether zero points are in the middle, None where it does not say. `ordered`: columns of some
        matrices are ordered by activation.
        """
        self._bits, self._group_sizes, self._symmetric, self._ordered = bits, group_sizes, symmetric, ordered

    def shape(self, tensors: QuantizedTensors) -> tuple[int, int]:
        """Return rows and columns."""
        if 'weight_packed' not in tensors:
            rows, cols = tensors.shape('weight')
            return rows, cols
        shape = tensors.integers('weight_shape', 'I64', (2,)).tolist()
        rows, words = tensors.shape('weight_packed')
        if shape[0] != rows or shape[1] not in (words * 8, words * 4):
            raise tensors.error(f'weight_packed has the shape {[rows, words]}, which does not fit weight_shape {shape}')
        return rows, shape[1]

    def matrix(self, tensors: QuantizedTensors) -> Linear:
        """Return w4z, w8g or w8c."""
        rows, cols = self.shape(tensors)
        scales = _spread(tensors, rows, 'weight_scale')
        count, packed = scales.shape[1], 'weight_packed' in tensors
        group_of = tensors.integers('weight_g_idx', 'I32', (cols,)) if 'weight_g_idx' in tensors else None
        if self._ordered and self._bits == {4} and group_of is None and count > 1:
            raise tensors.error('weight_g_idx is missing, which actorder = group needs; the checkpoint is incomplete')
        groups = column_groups(tensors, cols, count, self._group_sizes, group_of)
        if not packed:
            zeros = _zeros(tensors, rows, count, 8, 0)
            self._check_zeros(tensors, zeros, 0)
            return eight_bits(tensors, tensors.integers('weight', 'I8'), scales, zeros, groups)
        bits = tensors.shape('weight_packed')[1] * 32 // cols
        if bits not in self._bits:
            raise tensors.error(f'weight_packed has {bits} bits, and the configuration says num_bits = '
                                f'{" or ".join(map(str, sorted(self._bits)))}')
        q, middle = unpacked(tensors.integers('weight_packed', 'I32'), bits), 1 << (bits - 1)
        zeros = _zeros(tensors, rows, count, bits, middle)
        self._check_zeros(tensors, zeros, middle)
        if zeros is None:
            zeros = np.full((rows, count), middle, dtype=np.uint8)
        return (four_bits if bits == 4 else eight_bits)(tensors, q, scales, zeros, groups)

    def _check_zeros(self, tensors: QuantizedTensors, zeros: npt.NDArray[Any] | None, middle: int) -> None:
        if zeros is None and self._symmetric == {False}:
            raise tensors.error('weight_zero_point is missing, which symmetric = false needs; '
                                'the checkpoint is incomplete')
        if zeros is not None and self._symmetric == {True} and (zeros != middle).any():
            tensors.say('symmetric is true, but its zero points are not all 0; they are read as they are stored')


def _spread(tensors: QuantizedTensors, rows: int, part: str) -> Values:
    """Return scales [rows, groups]; a scale of the whole matrix is repeated for each row."""
    dims = tensors.dims(part)
    values = tensors.numbers(part, dims if dims in ((), (1,), (1, 1), (rows,)) else (rows, tensors.shape(part)[1]))
    return np.array(np.broadcast_to(values.reshape(-1, 1), (rows, 1)) if len(dims) < 2 or dims == (1, 1) else values)


def _zeros(tensors: QuantizedTensors, rows: int, count: int, bits: int, middle: int) -> npt.NDArray[Any] | None:
    """Return zero points [rows, groups] with `middle` added, as in the weights; None where there are none."""
    part = 'weight_zero_point'
    if part not in tensors:
        return None
    if tensors.dtype(part) == 'I32':
        words = tensors.integers(part, 'I32', (-(-rows * bits // 32), count))
        return unpacked(words.T, bits)[:, :rows].T
    dims = tensors.dims(part)
    stored = tensors.integers(part, 'I8', dims if dims in ((), (1,), (1, 1), (rows,)) else (rows, count))
    zeros = np.broadcast_to(stored.reshape(-1, 1) if stored.ndim < 2 else stored, (rows, count)).astype(np.int16)
    if (zeros < -(1 << (bits - 1))).any() or (zeros >= 1 << (bits - 1)).any():
        raise tensors.error(f'{part} has numbers of more than {bits} bits')
    return (zeros + middle).astype(np.uint8 if middle else np.int8)
