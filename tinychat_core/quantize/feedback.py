# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Error feedback (GPTQ; Frantar et al., 2022): what rounding a column has done wrong, the columns after it put right.

The grids stand before the first column is rounded, so that columns can come in any order: the largest inputs first.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tinychat_core.quantize.grid import Grid

_BLOCK = 64     # columns that are rounded before the rest hear of it
_DAMPING = 0.01  # of the mean diagonal: inputs that calibration has hardly seen


def integers_with_feedback(values: Tensor, gram: Tensor, grid: Grid, scale: Tensor | None = None) -> Tensor:
    """
    Return integers [rows, cols] of the grid for values by their inputs' Gram matrix [cols, cols].

    With a `scale` [cols] the inputs are divided by it.
    """
    scale = torch.ones(len(gram)) if scale is None else scale
    order = (gram.diagonal() / scale.square()).argsort(descending=True)
    inverse = _inverse_root(gram[order][:, order].div_(scale[order]).div_(scale[order, None]))
    group = (order // (grid.group_size or len(order))).tolist()
    scales, mins = grid.scales.T.contiguous(), grid.mins.T.contiguous()  # [groups, rows]
    left = values.T[order]
    found = torch.empty_like(left)
    for begin in range(0, len(left), _BLOCK):
        end = min(begin + _BLOCK, len(left))
        errors = torch.empty_like(left[begin:end])
        for i in range(begin, end):
            column, step, low = left[i], scales[group[i]], mins[group[i]]
            q = found[i]
            torch.sub(column, low, out=q).div_(step).round_().clamp_(*grid.limits)
            error = (column - low).addcmul_(q, step, value=-1).div_(inverse[i, i])
            errors[i - begin] = error
            left[i + 1:end].addr_(inverse[i, i + 1:end], error, alpha=-1)
        left[end:].addmm_(inverse[begin:end, end:].T, errors, alpha=-1)
    integers = torch.empty_like(values)
    integers[:, order] = found.T
    return integers


def _inverse_root(gram: Tensor) -> Tensor:
    """Return the upper Cholesky factor of the inverse of a Gram matrix, which is damped in place."""
    damping = _DAMPING * gram.diagonal().mean().clamp_min(1e-20)
    while True:
        gram.diagonal().add_(damping)
        factor, failed = torch.linalg.cholesky_ex(gram)
        if not failed:
            factor = torch.cholesky_inverse(factor)
            factor, failed = torch.linalg.cholesky_ex(factor, upper=True)
            if not failed:
                return factor
        damping *= 10
