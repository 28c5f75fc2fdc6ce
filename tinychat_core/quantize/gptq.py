# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Error feedback (GPTQ; Frantar et al., 2022): what rounding a column has done wrong, the columns after it put right.

With the Gram matrix G = L L' (L lower) and weights that differ by D, the output's error is the square of D L, and the
columns of D L from j on know only those of D from j on. So the columns are rounded from the last to the first, each to
what makes its column of D L smallest. That is GPTQ without an inverse (Chen et al., 2025: Babai's nearest plane), and
one matrix beside G is all it needs.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tinychat_core.quantize.grid import Grid

_BLOCK = 64     # columns that are rounded before the rest hear of it
_DAMPING = 0.01  # of the mean diagonal: inputs that calibration has hardly seen


def integers_with_feedback(values: Tensor, gram: Tensor, grid: Grid, scale: Tensor | None = None) -> Tensor:
    """
    Return integers [rows, cols] of the grid, int8, for values by their inputs' Gram matrix [cols, cols].

    With a `scale` [cols] the inputs are divided by it. The largest inputs come first: the grids stand before the first
    column is rounded, so that any order will do.
    """
    scale = torch.ones(len(gram)) if scale is None else scale
    order = (gram.diagonal() / scale.square()).argsort()
    lower = _root(gram, order, scale)
    group = (order // (grid.group_size or len(order))).tolist()
    scales, mins = grid.scales.T.contiguous(), grid.mins.T.contiguous()  # [groups, rows]
    wrong = values.T[order]  # row by row from the last on, weights become what D is
    found = torch.empty(wrong.shape, dtype=torch.int8)
    for end in range(len(wrong), 0, -_BLOCK):
        begin = max(end - _BLOCK, 0)
        known = lower[end:, begin:end].T @ wrong[end:]  # columns of D L, without those of this block
        for i in range(end - 1, begin - 1, -1):
            step, low = scales[group[i]], mins[group[i]]
            wanted = torch.add(wrong[i], known[i - begin], alpha=1 / lower[i, i].item())
            q = wanted.sub_(low).div_(step).round_().clamp_(*grid.limits)
            found[i] = q
            wrong[i].sub_(low).addcmul_(q, step, value=-1)
            known[:i - begin].addr_(lower[i, begin:i], wrong[i])
    integers = torch.empty(values.shape, dtype=torch.int8)
    integers[:, order] = found.T
    return integers


def _root(gram: Tensor, order: Tensor, scale: Tensor) -> Tensor:
    """Return the lower Cholesky factor of a damped Gram matrix, of inputs divided by `scale` and put in order."""
    damping = _DAMPING
    while True:
        root = gram[order[:, None], order].div_(scale[order]).div_(scale[order, None])
        root.diagonal().add_(damping * root.diagonal().mean().clamp_min(1e-20))
        # In place: columns first, as LAPACK has them; what is symmetric is its own transpose.
        _, failed = torch.linalg.cholesky_ex(root.T, out=(root.T, torch.empty((), dtype=torch.int32)))
        if not failed:
            return root.T
        damping *= 10
