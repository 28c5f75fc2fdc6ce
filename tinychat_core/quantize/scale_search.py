# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
The search for scales of input channels: AWQ's (Lin et al., 2023) and SmoothQuant's (Xiao et al., 2023).

Large channels are scaled up in the weights and down in the inputs: AWQ protects the important weights, SmoothQuant
makes inputs easier to round. The output error needs no forward pass: for a weight error D it is tr(D G D'), G = X'X;
rounding inputs to int8 adds noise of a known size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tinychat_core.quantize.grid import Grid, grid_over, ranges
from tinychat_core.quantize.inputs import Inputs
from tinychat_core.quantize.method import Method

_ROWS = 512  # of a matrix that the search evaluates; a scale is shared by all rows


def output_error(difference: Tensor, gram: Tensor) -> float:
    """Return the squared output error of a weight error `difference` [rows, cols]."""
    return float(((difference @ gram) * difference).sum(dtype=torch.float64))


def sample_of(matrix: Tensor) -> Tensor:
    """Return an evenly spaced sample of the rows of a matrix."""
    return matrix[::-(-len(matrix) // _ROWS)]


def search(matrices: Sequence[Tensor], inputs: Inputs, method: Method, tie: Callable[[Tensor], Tensor]) -> Tensor:
    """
    Return the scale [cols] of the matrices' input channels with the smallest output error.

    One exponent p determines it: AWQ's scale is rms(x)^p, SmoothQuant's max|x|^p / max|w|^(1-p). The search tries a
    coarse grid of p, then a finer one, and no scale at all. `tie` equalizes channels that must share a scale.
    """
    samples = [sample_of(matrix) for matrix in matrices]
    size = tie(inputs.largest if method.smooths else inputs.gram.diagonal().sqrt())
    weight = tie(torch.stack([matrix.abs().amax(dim=0) for matrix in matrices]).amax(dim=0))
    size, weight = (part.clamp_min(1e-5 * float(part.max()) + 1e-30) for part in (size, weight))

    def scale_of(power: float) -> Tensor:
        scale = size ** power / weight ** (1 - power) if method.smooths else size ** power
        return scale / (scale.max() * scale.min()).sqrt()

    def error(scale: Tensor) -> float:
        total = sum(output_error(rounded(sample * scale, method) / scale - sample, inputs.gram) for sample in samples)
        return total + (noise(samples, inputs, scale, method) if method.rounds_inputs else 0)

    found = {power: error(scale_of(power)) for power in (0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 1.0)}
    for step in (0.075, 0.0375):
        best = min(found, key=found.__getitem__)
        found.update({power: error(scale_of(power)) for power in (best - step, best + step)})
    best = min(found, key=found.__getitem__)
    ones = torch.ones_like(size)
    return scale_of(best) if found[best] < error(ones) else ones


def rounded(values: Tensor, method: Method) -> Tensor:
    """Return values [rows, cols] rounded to nearest, on grids that span each group."""
    return plain_grid(values, method).nearest(values)


def plain_grid(values: Tensor, method: Method) -> Grid:
    """Return the grids that span each group of values [rows, cols]."""
    return grid_over(method.format, method.group_size, *ranges(values, method.group_size))


def noise(samples: Sequence[Tensor], inputs: Inputs, scale: Tensor, method: Method) -> float:
    """
    Return the squared output error that rounding inputs to int8 adds.

    The step is max|x| / 127 of each token and group; the rounding error has the variance step^2 / 12.
    """
    size = method.group_size or len(scale)
    step = (inputs.sample / scale).view(len(inputs.sample), -1, size).abs().amax(dim=2) / 127
    variance = step.square().mean(dim=0) / 12  # [groups]
    tokens = float(inputs.gram.trace() / inputs.sample.square().sum()) * len(inputs.sample)
    weights = sum((sample * scale).square().sum(dim=0).view(-1, size).sum(dim=1) for sample in samples)
    return float((variance * weights).sum()) * tokens
