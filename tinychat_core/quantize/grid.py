# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
The grid that a group of a matrix is rounded to: value = scale * q + minimum.

One formula covers all formats: the minimum is -scale * zero in w4z, arbitrary in w4m and 0 in w8c.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tinychat_core.checkpoint.linear import Linear

_SMALLEST = 2.0 ** -24  # of fp16


@dataclass(frozen=True)
class Grid:
    """Scales, minima and (w4z only) zero points [rows, groups] in float32, rounded as the checkpoint stores them."""

    format: str
    group_size: int  # 0: all columns
    scales: Tensor
    mins: Tensor
    zeros: Tensor | None = None

    @property
    def limits(self) -> tuple[int, int]:
        """The smallest and the largest integer."""
        return (-127, 127) if self.format == 'w8c' else (0, 15)

    def integers(self, values: Tensor) -> Tensor:
        """Return the nearest integers of values [rows, cols], as floats."""
        found = _grouped(values, self.group_size) - self.mins[..., None]
        return found.div_(self.scales[..., None]).round_().clamp_(*self.limits).view_as(values)

    def values(self, integers: Tensor) -> Tensor:
        """Return the values of integers [rows, cols]."""
        grouped = _grouped(integers, self.group_size)
        return (grouped * self.scales[..., None]).add_(self.mins[..., None]).view_as(integers)

    def nearest(self, values: Tensor) -> Tensor:
        """Return values [rows, cols] rounded to the grid."""
        return self.values(self.integers(values))

    def linear(self, integers: Tensor) -> Linear:
        """Return the matrix of these integers as a checkpoint stores it."""
        rows, cols = integers.shape
        if self.format == 'w8c':
            return Linear('w8c', rows, cols, 0, None, integers.to(torch.int8).numpy(), self.scales.numpy())
        return Linear(self.format, rows, cols, self.group_size, None, integers.to(torch.uint8).numpy(),
                      self.scales.half().numpy(),
                      mins=self.mins.half().numpy() if self.format == 'w4m' else None,
                      zeros=None if self.zeros is None else self.zeros.to(torch.uint8).numpy())


def ranges(values: Tensor, group_size: int) -> tuple[Tensor, Tensor]:
    """Return the smallest and the largest number of each group of values [rows, cols]."""
    low, high = _grouped(values, group_size).aminmax(dim=2)
    return low, high


def grid_over(format_: str, group_size: int, low: Tensor, high: Tensor) -> Grid:
    """Return the grid from `low` to `high` [rows, groups] of each group."""
    if format_ == 'w8c':
        scales = (torch.maximum(high, -low) / 127).clamp_min(1e-30)
        return Grid(format_, group_size, scales, torch.zeros_like(scales))
    if format_ == 'w4z':  # an integer zero point: the grid holds 0
        low, high = low.clamp_max(0), high.clamp_min(0)
    scales = ((high - low) / 15).clamp_min(_SMALLEST).half().float()
    if format_ == 'w4m':
        return Grid(format_, group_size, scales, low.half().float())
    zeros = (-low / scales).round_().clamp_(0, 15)
    return Grid(format_, group_size, scales, -zeros * scales, zeros)


def _grouped(values: Tensor, group_size: int) -> Tensor:
    """Return a view [rows, groups, columns of a group]."""
    return values.view(len(values), -1, group_size or values.shape[1])
