# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
GPTQ as AutoGPTQ and GPTQModel pack it: s * (q - z) with q and z of 4 or 8 bits, fp16 s.

qweight int32 [cols * bits / 32, rows]: columns of one row in a word. qzeros int32 [groups, rows * bits / 32]: rows of
one group in a word, stored minus one in the first version of the format (github.com/AutoGPTQ/AutoGPTQ, qlinear_*.py),
unchanged in `gptq_v2` (github.com/ModelCloud/GPTQModel), whose words may also have 8, 16 or 64 bits (`pack_dtype`).
g_idx int32 [cols] is the group of each column.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tinychat_core.checkpoint.linear import Linear
from tinychat_core.errors import UnsupportedModelError
from tinychat_core.importers.column_groups import column_groups, ColumnGroups
from tinychat_core.importers.integer_grid import eight_bits, four_bits, unpacked
from tinychat_core.importers.options import bare, Options
from tinychat_core.importers.quantized_source import QuantizedTensors

_LESS_ONE = {'gptq': True, 'gptq_v2': False}
_WORDS = {'I8': 8, 'I16': 16, 'I32': 32, 'I64': 64}  # bits of a word
_BITS = (4, 8)
# Zero points count as off by one if, over at least _FEWEST groups, their mean distance from the mean of the group is
# within _NEAR of one and its deviation is below _ALIKE (0.2 for groups of 128 normal weights, 0.5 for 32). Rows are
# sampled.
_FEWEST, _NEAR, _ALIKE, _SAMPLE = 64, 0.25, 0.8, 256


@dataclass(frozen=True)
class Settings:
    """
    The settings of all matrices: each has one of these bit widths and group sizes (None: unknown).

    `less_one`: zero points are stored minus one. `symmetric`: all are in the middle. `ordered`: columns are ordered by
    activation (desc_act).
    """

    bits: Collection[int]
    group_sizes: Collection[int] | None
    less_one: bool
    symmetric: bool
    ordered: bool = False


def quant_format(config: Options) -> Gptq:
    """Return the format of a quantization_config; UnsupportedModelError names an unsupported option."""
    format_ = (config.text('checkpoint_format') or config.text('format') or 'gptq').lower()
    if config.flag('is_marlin_format', False):
        format_ = 'marlin'
    if format_ not in _LESS_ONE:
        raise UnsupportedModelError(f'{config.label}: GPTQ with checkpoint_format = {bare(format_)} is not supported; '
                                    f'{" and ".join(_LESS_ONE)} are')
    for name in ('rotation', 'adapter'):
        config.only(name, 'leave it out when you quantize')
    exceptions = {rule: options for rule, options in config.groups('dynamic').items() if not rule.startswith('-:')}
    return Gptq(settings(config, 'GPTQ', exceptions, _LESS_ONE[format_], config.flag('desc_act', False)))


def settings(config: Options, tool: str, exceptions: Mapping[str, Options], less_one: bool,
             ordered: bool = False) -> Settings:
    """
    Return the settings of `config`, extended by those of `exceptions`, which are keyed by name or pattern.

    The tensors of a matrix show which settings it has, so patterns need not be matched.
    """
    bits, sizes = [check_bits(config, tool)], [config.group_size()]
    for rule in exceptions.values():
        if 'bits' in rule:
            # More than 8 bits, or none: not quantized.
            bits.extend([] if (rule.whole('bits') or 16) > 8 else [check_bits(rule, tool)])
        if 'group_size' in rule:
            sizes.append(rule.group_size())
        rule.flag('sym', True)
    return Settings(bits, None if sizes[0] is None else {size for size in sizes if size is not None}, less_one,
                    config.flag('sym', True), ordered)


def check_bits(config: Options, tool: str) -> int:
    """Return the bits of a configuration; UnsupportedModelError where they are not 4 or 8."""
    bits = config.whole('bits')
    if bits not in _BITS:
        where = '' if config.name == 'quantization_config' else f' in {config.name}'
        raise UnsupportedModelError(f'{config.label}: {tool} with bits = {bits}{where} is not supported; 4 and 8 are '
                                    '(import the unquantized model with --weights W4)')
    return bits


class Gptq:
    """Matrices of 4 or 8 bits."""

    marker = 'qweight'
    suffixes = ('qweight', 'qzeros', 'scales', 'g_idx')

    def __init__(self, settings: Settings) -> None:
        """Take the settings of the configuration."""
        self._settings = settings

    def shape(self, tensors: QuantizedTensors) -> tuple[int, int]:
        """Return rows and columns."""
        words, rows = tensors.shape('qweight')
        return rows, words * self._word(tensors) // self._bits(tensors)

    def matrix(self, tensors: QuantizedTensors) -> Linear:
        """Return w4z, w8g or w8c."""
        settings, bits, word = self._settings, self._bits(tensors), self._word(tensors)
        kind, (rows, cols) = tensors.dtype('qweight'), self.shape(tensors)
        count = tensors.shape('scales')[0]
        group_of = tensors.integers('g_idx', 'I32', (cols,)) if 'g_idx' in tensors else None
        if settings.ordered and group_of is None and count > 1:
            raise tensors.error('g_idx is missing, which desc_act = true needs; the checkpoint is incomplete')
        groups = column_groups(tensors, cols, count, settings.group_sizes, group_of)
        if groups.order is not None and not settings.ordered:
            tensors.say('desc_act is false, but g_idx orders the columns; g_idx is used')
        scales = np.ascontiguousarray(tensors.numbers('scales', (count, rows)).T)
        zeros = unpacked(tensors.integers('qzeros', kind, (count, rows * bits // word)), bits).T
        q = unpacked(tensors.integers('qweight', kind).T, bits)
        zeros = self._zeros(tensors, zeros, bits)
        if bits == 8:
            return eight_bits(tensors, q, scales, zeros, groups)
        zeros = self._aligned(tensors, q, zeros, groups)
        return four_bits(tensors, q, scales, zeros, groups)

    def _bits(self, tensors: QuantizedTensors) -> int:
        """Return the bit width, which the shape of the zero points shows."""
        rows, words = tensors.shape('qweight')[1], tensors.shape('qzeros')[1]
        fitting = [bits for bits in _BITS if words * self._word(tensors) == rows * bits]
        if not fitting:
            raise tensors.error(f'qzeros has {words} columns for {rows} rows; numbers of 4 and 8 bits are supported')
        if fitting[0] not in self._settings.bits:
            raise tensors.error(f'qweight has {fitting[0]} bits, and the configuration says bits = '
                                f'{" or ".join(map(str, sorted(set(self._settings.bits))))}')
        return fitting[0]

    def _word(self, tensors: QuantizedTensors) -> int:
        kind = tensors.dtype('qweight')
        if kind not in _WORDS:
            raise tensors.error(f'qweight has the type {kind} instead of I32')
        return _WORDS[kind]

    def _zeros(self, tensors: QuantizedTensors, stored: npt.NDArray[np.uint8], bits: int) -> npt.NDArray[np.uint8]:
        """
        Return the zero points, given the stored ones.

        Symmetric zero points show which version of the format stored them, whatever the configuration says.
        """
        settings, middle = self._settings, 1 << (bits - 1)
        # Wraps around: 0 minus one was stored as the largest value.
        zeros = (stored + np.uint8(settings.less_one)) & np.uint8((1 << bits) - 1)
        if settings.symmetric and (zeros != middle).any():
            if (zeros == (middle + 1 if settings.less_one else middle - 1)).all():
                other = 'gptq_v2' if settings.less_one else 'gptq'
                tensors.say(f'its zero points are all {int(zeros[0, 0])} and sym is true; they are read as {middle}, '
                            f'as the format {other} stores it')
                return np.full_like(zeros, middle)
            tensors.say(f'sym is true, but its zero points are not all {middle}; they are read as they are stored')
        return zeros

    def _aligned(self, tensors: QuantizedTensors, q: npt.NDArray[np.uint8], zeros: npt.NDArray[np.uint8],
                 groups: ColumnGroups) -> npt.NDArray[np.uint8]:
        """
        Return 4-bit zero points, corrected by one where they were stored as the other version of the format does.

        Some tools declare one version and write the other. The weights of a matrix have a mean of about 0, so a zero
        point is about the mean of its group's integers, not consistently one above or below it.
        """
        less_one = self._settings.less_one
        rows = slice(None, None, max(1, len(q) // _SAMPLE))
        columns = q[rows] if groups.order is None else q[rows][:, groups.order]
        means = columns.reshape(len(columns), -1, groups.size).mean(axis=2, dtype=np.float32)
        above = zeros[rows][:, groups.source] - means
        step = 1 if less_one else -1
        is_beside = above.size >= _FEWEST and abs(above.mean() - step) < _NEAR and above.std() < _ALIKE
        if not is_beside or (zeros == zeros[0, 0]).all():
            return zeros
        tensors.say(f'its zero points are one {"above" if less_one else "below"} the mean of their weights; they are '
                    f'read as the format {"gptq_v2" if less_one else "gptq"} stores them, whatever it says of that')
        return (zeros - np.uint8(step % 256)) & np.uint8(15)
