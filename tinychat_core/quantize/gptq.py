# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
GPTQ (Frantar et al., 2022): columns are rounded one by one, and later columns compensate for the error so far.

With the Gram matrix G = L L' (L lower triangular) and a weight error D, the squared output error is ||D L||^2, and the
columns of D L from j on depend only on those of D from j on. So columns are rounded from the last to the first, each to
the value that minimizes its column of D L. This is GPTQ without an inverse (Chen et al., 2025: Babai's nearest plane);
it needs one matrix besides G.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tinychat_core.quantize.grid import Grid

_BLOCK = 64      # columns rounded between updates of the remaining ones
_DAMPING = 0.01  # of the mean diagonal, for inputs that are rare in the calibration text


def gptq_integers(values: Tensor, gram: Tensor, grid: Grid, scale: Tensor | None = None) -> Tensor:
    """
    Round values [rows, cols] to integers of the grid, int8, given the Gram matrix [cols, cols] of their inputs.

    `scale` [cols] divides the inputs. The columns with the largest inputs come first; any order is possible, because
    the grids are fixed before the first column is rounded.
    """
    scale = torch.ones(len(gram)) if scale is None else scale
    order = (gram.diagonal() / scale.square()).argsort()
    lower = _root(gram, order, scale)
    group = (order // (grid.group_size or len(order))).tolist()
    scales, mins = grid.scales.T.contiguous(), grid.mins.T.contiguous()  # [groups, rows]
    errors = values.T[order]  # weights at first; each row becomes its row of D' once rounded
    found = torch.empty(errors.shape, dtype=torch.int8)
    for end in range(len(errors), 0, -_BLOCK):
        begin = max(end - _BLOCK, 0)
        known = lower[end:, begin:end].T @ errors[end:]  # columns of D L, without the contribution of this block
        for i in range(end - 1, begin - 1, -1):
            step, low = scales[group[i]], mins[group[i]]
            wanted = torch.add(errors[i], known[i - begin], alpha=1 / lower[i, i].item())
            q = wanted.sub_(low).div_(step).round_().clamp_(*grid.limits)
            found[i] = q
            errors[i].sub_(low).addcmul_(q, step, value=-1)
            known[:i - begin].addr_(lower[i, begin:i], errors[i])
    integers = torch.empty(values.shape, dtype=torch.int8)
    integers[:, order] = found.T
    return integers


def _root(gram: Tensor, order: Tensor, scale: Tensor) -> Tensor:
    """Return the lower Cholesky factor of the damped Gram matrix of the scaled and reordered inputs."""
    damping = _DAMPING
    while True:
        root = gram[order[:, None], order].div_(scale[order]).div_(scale[order, None])
        root.diagonal().add_(damping * root.diagonal().mean().clamp_min(1e-20))
        # In place; LAPACK is column-major, and a symmetric matrix equals its transpose.
        _, failed = torch.linalg.cholesky_ex(root.T, out=(root.T, torch.empty((), dtype=torch.int32)))
        if not failed:
            return root.T
        damping *= 10
