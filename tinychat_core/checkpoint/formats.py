# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
The formats of a weight matrix, and the tensors that each stores.

    w4m         s*q + m      4-bit q, fp16 s and m per group      GGUF's Q4_1, exactly
    w4z         s*(q - z)    4-bit q and z, fp16 s per group      AWQ, GPTQ, round to nearest; GGUF's Q4_0, exactly
    w4k         d*s*q - e*m  4-bit q, 6-bit s and m per group     GGUF's Q4_K, exactly
    w5z         s*(q - 16)   5-bit q, fp16 s per group            GGUF's Q5_0, exactly
    w5m         s*q + m      5-bit q, fp16 s and m per group      GGUF's Q5_1, exactly
    w5k         d*s*q - e*m  5-bit q, 6-bit s and m per group     GGUF's Q5_K, exactly
    w6k         d*s*(q - 32) 6-bit q, int8 s per group            GGUF's Q6_K and Q3_K, exactly
    w8g         s*q          int8 q, fp16 s per group             GGUF's Q8_0, exactly; embeddings and heads
    w8c         s*q          int8 q, one fp32 s per row           SmoothQuant
    f16, bf16                the value itself

The K formats have scales of two levels: d and e are fp16 numbers per block of 256 columns (`scales` and `mins`), s and
m are integers per group (`subscales`): [rows, groups] in w6k, pairs [rows, groups, 2] in the others. Their groups have
a fixed size, 32 columns or (w6k) 16.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tinychat_core.checkpoint.layouts import LAYOUTS, packed_size, unit


@dataclass(frozen=True)
class Format:
    """What a format stores; `family` is the kind of weights (W4, W5, W6, W8, W16)."""

    family: str
    bits: int
    number: type[np.generic]
    scales: type[np.generic] | None = None
    per_group: bool = False
    mins: bool = False
    zeros: bool = False
    center: int = 0  # the q that means 0
    group: int = 0  # the group size, if the format has a fixed one
    block: int = 0  # columns that share a scale d, if groups have subscales

    @property
    def weight_name(self) -> str:
        """Suffix of the tensor with the weights."""
        return 'weight' if self.scales is None else 'qweight'

    @property
    def layout(self) -> str:
        """Name of the layout that the kernels read."""
        return 'r16k1' if self.bits == 16 else 'r16k4'


FORMATS = {
    'w4m': Format('W4', 4, np.uint8, np.float16, per_group=True, mins=True),
    'w4z': Format('W4', 4, np.uint8, np.float16, per_group=True, zeros=True),
    'w4k': Format('W4', 4, np.uint8, np.float16, per_group=True, mins=True, group=32, block=256),
    'w5z': Format('W5', 5, np.uint8, np.float16, per_group=True, center=16),
    'w5m': Format('W5', 5, np.uint8, np.float16, per_group=True, mins=True),
    'w5k': Format('W5', 5, np.uint8, np.float16, per_group=True, mins=True, group=32, block=256),
    'w6k': Format('W6', 6, np.uint8, np.float16, per_group=True, center=32, group=16, block=256),
    'w8g': Format('W8', 8, np.int8, np.float16, per_group=True),
    'w8c': Format('W8', 8, np.int8, np.float32),
    'f16': Format('W16', 16, np.float16),
    'bf16': Format('W16', 16, np.uint16),
}


def stored(format_: str, rows: int, cols: int, group_size: int,
           layout: str) -> dict[str, tuple[npt.DTypeLike, int]]:
    """
    Return the tensors of a matrix [rows, cols] by suffix: the type and the number of elements of each.

    Raises ValueError for an unknown format or layout, or a width that groups or steps do not divide.
    """
    if format_ not in FORMATS:
        raise ValueError(f'the weight format {format_} is unknown')
    if layout not in LAYOUTS:
        raise ValueError(f'the layout {layout} is unknown')
    form, order = FORMATS[format_], LAYOUTS[layout]
    if rows < 1 or cols < 1:
        raise ValueError(f'a matrix of {rows} x {cols} is empty')
    if cols % unit(order, form.bits):
        raise ValueError(f'a width of {cols} does not fit the layout {layout}')
    wrong = form.per_group != (group_size > 0) or (group_size and cols % group_size)
    if wrong or group_size != (form.group or group_size) or (form.block and cols % form.block):
        raise ValueError(f'a group size of {group_size} does not fit {format_} and a width of {cols}')
    padded = order.padded(rows)
    groups = cols // group_size if group_size else 1
    scales = cols // form.block if form.block else groups
    size = packed_size(rows, cols, order, form.bits)
    tensors: dict[str, tuple[npt.DTypeLike, int]] = {form.weight_name: (form.number, size)}
    if form.scales is not None:
        tensors['scales'] = (form.scales, padded * scales)
    if form.mins:
        tensors['mins'] = (np.float16, padded * scales)
    if form.block:
        tensors['subscales'] = (np.uint8, padded * groups * 3 // 2) if form.mins else (np.int8, padded * groups)
    if form.zeros:
        tensors['zeros'] = (np.uint8, rows * -(-groups // 2) if order.rows == 1 else padded // 2 * groups)
    return tensors
