# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What quantization is made of: grids, clipping, error feedback, the search for scales."""
from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tinychat_core.checkpoint.rtn import four_bits
from tinychat_core.quantize.clip import best_grid
from tinychat_core.quantize.gptq import gptq_integers
from tinychat_core.quantize.grid import grid_over, ranges
from tinychat_core.quantize.inputs import gather, Inputs
from tinychat_core.quantize.method import Method
from tinychat_core.quantize.scale_search import output_error, plain_grid, search

ROWS, COLS = 48, 128


def weights(seed: int = 0) -> Tensor:
    return torch.randn(ROWS, COLS, generator=torch.Generator().manual_seed(seed)) * 0.05


def inputs() -> Inputs:
    """Return inputs that depend on each other, with a few large channels, as those of a language model."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(400, COLS, generator=generator) @ torch.randn(COLS, COLS, generator=generator)
    x[:, ::16] *= 20
    return gather([x[None]], len(x))


def error(found: Tensor) -> float:
    return output_error(found - weights(), inputs().gram)


@pytest.mark.parametrize('format_', ['w4z', 'w4m', 'w8c'])
def test_what_a_grid_means_is_what_the_checkpoint_stores(format_: str) -> None:
    size = 0 if format_ == 'w8c' else 32
    grid = grid_over(format_, size, *ranges(weights(), size))
    integers = grid.integers(weights())
    assert torch.equal(torch.from_numpy(grid.linear(integers).dequantized()), grid.values(integers))


def test_rounding_to_the_nearest_is_that_of_the_importer() -> None:
    grid = plain_grid(weights(), Method('rtn', 'W4A16', 32))
    linear, other = grid.linear(grid.integers(weights())), four_bits(weights().numpy(), 32)
    assert (linear.weight == other.weight).all() and (linear.scales == other.scales).all()


def test_the_gram_matrix_tells_the_error_of_the_output() -> None:
    x, difference = torch.randn(70, COLS), weights(3)
    found = output_error(difference, gather([x[None, :30], x[None, 30:]], 70).gram)
    assert found == pytest.approx(float((x @ difference.T).square().sum()), rel=1e-4)


@pytest.mark.parametrize('format_', ['w4z', 'w4m', 'w8c'])
def test_clipping_is_no_worse_for_any_group(format_: str) -> None:
    size = 0 if format_ == 'w8c' else 32
    gram = inputs().gram
    plain = grid_over(format_, size, *ranges(weights(), size)).nearest(weights()) - weights()
    best = best_grid(weights(), inputs().squares(size, torch.ones(COLS)), format_, size).nearest(weights()) - weights()
    for first in range(0, COLS, size or COLS):
        part = slice(first, first + (size or COLS))
        square = gram[part, part]
        before, after = (((d[:, part] @ square) * d[:, part]).sum(dim=1) for d in (plain, best))
        assert (after <= before * 1.001).all()
        if format_ != 'w8c':
            assert after.sum() < 0.95 * before.sum()


@pytest.mark.parametrize('format_', ['w4z', 'w4m', 'w8c'])
def test_feedback_lessens_the_error_of_the_output(format_: str) -> None:
    size = 0 if format_ == 'w8c' else 32
    grid = grid_over(format_, size, *ranges(weights(), size))
    found = grid.values(gptq_integers(weights(), inputs().gram, grid))
    assert error(found) < 0.8 * error(grid.nearest(weights()))


def test_feedback_of_inputs_that_are_hardly_there() -> None:
    """Fewer tokens than columns, and channels that are always zero: no number gets lost."""
    x = torch.randn(20, COLS)
    x[:, :40] = 0
    gram = x.T @ x
    grid = grid_over('w4m', 32, *ranges(weights(), 32))
    found = grid.values(gptq_integers(weights(), gram, grid))
    assert torch.isfinite(found).all()
    assert output_error(found - weights(), gram) <= output_error(grid.nearest(weights()) - weights(), gram)


def test_weights_on_a_grid_stay_as_they_are() -> None:
    """As with a GGUF file of four bits: nothing that clipping, scaling or feedback could improve."""
    grid = grid_over('w4m', 32, *ranges(weights(), 32))
    exact = grid.nearest(weights())
    found = best_grid(exact, inputs().squares(32, torch.ones(COLS)), 'w4m', 32)
    integers = gptq_integers(exact, inputs().gram, found)
    assert torch.allclose(found.values(integers), exact, atol=1e-6)


@pytest.mark.parametrize(('name', 'precision', 'size'), [
    ('awq', 'W4A16', 32), ('awq', 'W4A8', 64), ('smoothquant', 'W8A8', 0)])
def test_a_scale_lessens_the_error(name: str, precision: str, size: int) -> None:
    method, known = Method(name, precision, size), inputs()
    scale = search([weights()], known, method, lambda values: values)
    assert not torch.equal(scale, torch.ones(COLS)) and (scale > 0).all()

    def error_of(scale: Tensor) -> float:
        """Return the error on the sample, its inputs rounded where the method says so."""
        x = known.sample / scale
        if method.rounds_inputs:
            grouped = x.view(len(x), -1, size or COLS)
            step = grouped.abs().amax(dim=2, keepdim=True) / 127
            x = ((grouped / step).round() * step).view_as(x)
        scaled = weights() * scale
        output = x @ plain_grid(scaled, method).nearest(scaled).T
        return float((output - known.sample @ weights().T).square().sum())

    assert error_of(scale) < 0.9 * error_of(torch.ones(COLS))


def test_channels_that_are_shared_get_one_scale() -> None:
    def tie(values: Tensor) -> Tensor:
        return values.view(2, -1).mean(dim=0).repeat(2)

    scale = search([weights()], inputs(), Method('awq', 'W4A16', 32), tie)
    assert torch.equal(scale[:COLS // 2], scale[COLS // 2:])
