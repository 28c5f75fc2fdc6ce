# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
The formats of a weight matrix, and the tensors that each stores.

    w4m         s*q + m      4-bit q, fp16 s and m per group      GGUF's Q4_1, exactly
    w4z         s*(q - z)    4-bit q and z, fp16 s per group      AWQ, GPTQ, round to nearest; GGUF's Q4_0, exactly
    w8g         s*q          int8 q, fp16 s per group             GGUF's Q8_0, exactly; embeddings and heads
    w8c         s*q          int8 q, one fp32 s per row           SmoothQuant
    f16, bf16                the value itself
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tinychat_core.checkpoint.layouts import LAYOUTS


@dataclass(frozen=True)
class Format:
    """What a format stores; `family` is the kind of weights (W4, W8, W16)."""

    family: str
    bits: int
    number: type[np.generic]
    scales: type[np.generic] | None = None
    per_group: bool = False
    mins: bool = False
    zeros: bool = False

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
    if cols % (order.step * (2 if form.bits == 4 else 1)):
        raise ValueError(f'a width of {cols} does not fit the layout {layout}')
    if form.per_group != (group_size > 0) or (group_size and cols % group_size):
        raise ValueError(f'a group size of {group_size} does not fit {format_} and a width of {cols}')
    padded = order.padded(rows)
    groups = cols // group_size if group_size else 1
    tensors: dict[str, tuple[npt.DTypeLike, int]] = {
        form.weight_name: (form.number, padded * cols // 2 if form.bits == 4 else padded * cols)}
    if form.scales is not None:
        tensors['scales'] = (form.scales, padded * groups)
    if form.mins:
        tensors['mins'] = (np.float16, padded * groups)
    if form.zeros:
        tensors['zeros'] = (np.uint8, rows * -(-groups // 2) if order.rows == 1 else padded // 2 * groups)
    return tensors
