# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The format in which each matrix of an imported model is stored."""

from __future__ import annotations

from dataclasses import dataclass, field
import logging

import numpy as np

from tinychat_core.checkpoint.linear import Linear, stack
from tinychat_core.checkpoint.model_config import ModelConfig
from tinychat_core.checkpoint.rtn import eight_bits, four_bits
from tinychat_core.errors import InvalidParameterError, TinyChatError

_log = logging.getLogger(__name__)

GROUP_SIZES = (32, 64, 128)
_EIGHT_BIT_GROUP = 32
_CHUNK = 1 << 22  # elements converted to float32 at a time

# Rounding the first and last matrices costs the most accuracy: they get 8 bits. Positions are small and keep 16.
_EIGHT_BITS = ('embedding', 'project_in', 'project_out', 'head')
_KEPT = ('positions',)


@dataclass(frozen=True)
class Recipe:
    """
    W4 and W8 round to nearest, W16 to fp16, or to bf16 where that is exact.

    `weights` None keeps every matrix in its format. float32, which has no format, becomes 16 bits; a warning names the
    first matrix that this rounds.
    """

    weights: str | None = None
    group_size: int = 128
    _rounded_to_16: set[str] = field(default_factory=set, compare=False, repr=False)

    def check(self, model: ModelConfig) -> None:
        """Raise InvalidParameterError where the group size does not divide all widths of the model."""
        if self.weights not in ('W4', 'W8'):
            return
        edge = model.embedding_size or _EIGHT_BIT_GROUP
        if edge % _EIGHT_BIT_GROUP:
            raise InvalidParameterError(f'a group size of {_EIGHT_BIT_GROUP} does not divide an embedding of {edge} '
                                        'numbers: use --weights W16')
        size = self.group_size if self.weights == 'W4' else _EIGHT_BIT_GROUP
        widths = {model.hidden_size, model.attention_width, model.intermediate_size}
        wrong = sorted(width for width in widths if width % size)
        if wrong:
            fitting = [str(other) for other in GROUP_SIZES if not any(width % other for width in widths)]
            fit = f'use {" or ".join(fitting)}' if fitting else 'none does; `tinychat import --weights W16` needs none'
            raise InvalidParameterError(f'a group size of {size} does not divide a width of {wrong[0]}: {fit}')

    def __call__(self, name: str, matrix: Linear) -> Linear:
        """Return the unpacked matrix in its final format; TinyChatError where it contains NaN or infinity."""
        if self.weights is None:
            return self._kept(name, matrix)
        if matrix.format in ('f16', 'bf16') and (self.weights == 'W16' or name in _KEPT):
            check_finite(name, matrix)
            return matrix
        if self.weights == 'W16' or name in _KEPT:
            plain = _as_float32(matrix)
            check_finite(name, plain)
            return plain.in_16_bits()
        # A few rows at a time: an embedding in float32 can be larger than the rest of the model in 4 bits.
        step = max(1, _CHUNK // matrix.cols)
        return stack([self._rounded(name, _as_float32(matrix.take(np.arange(first, min(first + step, matrix.rows)))))
                      for first in range(0, matrix.rows, step)])

    def _kept(self, name: str, matrix: Linear) -> Linear:
        check_finite(name, matrix)
        if matrix.format != 'f32':
            return matrix
        narrow = matrix.in_16_bits()
        if not self._rounded_to_16 and not np.array_equal(narrow.dequantized(), matrix.weight):
            self._rounded_to_16.add(name)
            _log.warning('%s is float32 and rounded to 16 bits, like all other float32 tensors', name)
        return narrow

    def _rounded(self, name: str, plain: Linear) -> Linear:
        check_finite(name, plain)
        if self.weights == 'W8' or name in _EIGHT_BITS:
            return eight_bits(plain.weight, _EIGHT_BIT_GROUP)
        return four_bits(plain.weight, self.group_size)


def _as_float32(matrix: Linear) -> Linear:
    if matrix.format == 'f32':
        return matrix
    return Linear('f32', matrix.rows, matrix.cols, 0, None, matrix.dequantized())


def check_finite(name: str, matrix: Linear) -> None:
    """Raise TinyChatError where a number of a matrix of floats, or a scale or minimum of integers, is not finite."""
    floats = [matrix.weight] if matrix.format in ('f16', 'f32') else [matrix.scales, matrix.mins]
    if matrix.format == 'bf16':
        finite = bool(np.all(matrix.weight & 0x7f80 != 0x7f80))
    else:
        finite = all(np.isfinite(numbers).all() for numbers in floats if numbers is not None)
    if not finite:
        raise TinyChatError(f'{name} has weights that are not finite numbers; the source is damaged')
