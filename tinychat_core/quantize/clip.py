# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Clipping: the range of each group's grid that minimizes the output error, often smaller than the full range."""

from __future__ import annotations

import torch
from torch import Tensor

from tinychat_core.quantize.grid import Grid, grid_over, ranges

_CHUNK = 1 << 22  # elements processed at a time


def best_grid(values: Tensor, grams: Tensor, format_: str, group_size: int) -> Grid:
    """
    Return the grid of values [rows, cols], given the Gram matrices [groups, columns, columns] of their inputs.

    Each group is optimized on its own, for the error of its contribution to the output.
    """
    count = max(1, _CHUNK // values.shape[1])
    parts = [_best(part, grams, format_, group_size) for part in values.split(count)]
    low, high = (torch.cat(ends) for ends in zip(*parts, strict=True))
    return grid_over(format_, group_size, low, high)


def _best(values: Tensor, gram: Tensor, format_: str, group_size: int) -> tuple[Tensor, Tensor]:
    low, high = ranges(values, group_size)

    def error(low: Tensor, high: Tensor) -> Tensor:
        difference = (grid_over(format_, group_size, low, high).nearest(values) - values).view(*low.shape, -1)
        left = torch.bmm(difference.transpose(0, 1), gram).transpose(0, 1)
        return (left * difference).sum(dim=2)

    best_low, best_high, best = low, high, error(low, high)

    def consider(low: Tensor, high: Tensor) -> None:
        nonlocal best_low, best_high, best
        found = error(low, high)
        better = found < best
        best_low, best_high = torch.where(better, low, best_low), torch.where(better, high, best_high)
        best = torch.where(better, found, best)

    for step in range(1, 11):
        consider(low * (1 - step / 20), high * (1 - step / 20))
    if format_ == 'w4m':
        for _ in range(2):
            consider(*_refit(values, gram, best_low, best_high, group_size))
    return best_low, best_high


def _refit(values: Tensor, gram: Tensor, low: Tensor, high: Tensor, group_size: int) -> tuple[Tensor, Tensor]:
    """Return the range whose grid fits the values best for fixed integers: least squares of scale and minimum."""
    q = grid_over('w4m', group_size, low, high).integers(values).view(*low.shape, -1)
    w = values.view_as(q)

    def product(a: Tensor, b: Tensor) -> Tensor:
        return (torch.bmm(a.transpose(0, 1), gram).transpose(0, 1) * b).sum(dim=2)

    one = torch.ones_like(q)
    qq, q1, qw, one1, w1 = product(q, q), product(q, one), product(q, w), product(one, one), product(w, one)
    determinant = qq * one1 - q1 * q1
    scale = (qw * one1 - w1 * q1) / determinant
    minimum = (qq * w1 - q1 * qw) / determinant
    usable = torch.isfinite(scale) & torch.isfinite(minimum) & (scale > 0)
    return torch.where(usable, minimum, low), torch.where(usable, minimum + 15 * scale, high)
