# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Rounding to the nearest, number by number."""
from __future__ import annotations

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest

from tinychat_core.checkpoint import rtn


def weights(rows: int, cols: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(scale=0.05, size=(rows, cols)).astype(np.float32)


@pytest.mark.parametrize('group_size', [32, 64, 128])
def test_four_bits_are_the_nearest_of_sixteen_steps(group_size: int) -> None:
    values = weights(5, 256)
    matrix = rtn.four_bits(values, group_size)
    assert matrix.scales is not None and matrix.zeros is not None
    assert (matrix.format, matrix.group_size, matrix.scales.shape) == ('w4z', group_size, (5, 256 // group_size))
    for row, group in ((0, 0), (4, 256 // group_size - 1)):
        part = values[row, group * group_size:(group + 1) * group_size]
        scale, zero = float(matrix.scales[row, group]), int(matrix.zeros[row, group])
        assert scale == np.float16((part.max() - part.min()) / 15)
        assert zero == round(-part.min() / scale)
        grid = [scale * (q - zero) for q in range(16)]
        nearest = [min(grid, key=lambda step: abs(step - number)) for number in part.tolist()]
        found = matrix.dequantized()[row, group * group_size:(group + 1) * group_size]
        assert np.allclose(found, nearest, atol=scale * 1e-3)


@pytest.mark.parametrize('sign', [1, -1])
def test_a_group_on_one_side_of_zero_keeps_zero_on_its_grid(sign: int) -> None:
    values = sign * (10 + np.abs(weights(2, 32)))
    assert np.abs(rtn.four_bits(values, 32).dequantized() - values).max() <= 10.2 / 15 / 2 * 1.01


@settings(max_examples=50, deadline=None)
@given(rows=st.integers(1, 40), groups=st.integers(1, 4), seed=st.integers(0, 1000),
       power=st.integers(-20, 10))
def test_no_error_is_larger_than_half_a_step(rows: int, groups: int, seed: int, power: int) -> None:
    values = weights(rows, 32 * groups, seed) * np.float32(2.0 ** power)
    for matrix in (rtn.four_bits(values, 32), rtn.eight_bits(values, 32)):
        assert matrix.scales is not None
        step = np.repeat(matrix.scales.astype(np.float32), 32, axis=1)
        # The zero point is rounded too, and the ends of the grid move with it.
        allowed = step if matrix.format == 'w4z' else step / 2
        assert (np.abs(matrix.dequantized() - values) <= allowed * 1.01 + 1e-7).all()


def test_eight_bits_are_the_nearest_of_255_steps() -> None:
    values = weights(3, 64)
    matrix = rtn.eight_bits(values, 32)
    assert matrix.scales is not None
    wanted = np.abs(values[2, 32:]).max() / 127
    assert wanted <= matrix.scales[2, 1] <= wanted * (1 + 2 ** -10)
    assert matrix.weight[2, 40] == round(float(values[2, 40]) / float(matrix.scales[2, 1]))


def test_zeros_stay_zeros() -> None:
    values = np.zeros((2, 64), np.float32)
    assert not rtn.four_bits(values, 32).dequantized().any()
    assert not rtn.eight_bits(values, 32).dequantized().any()


def test_a_large_matrix_is_rounded_piece_by_piece_to_the_same() -> None:
    values = weights(1100, 4096)
    whole, part = rtn.four_bits(values, 128), rtn.four_bits(values[1020:1030], 128)
    assert np.array_equal(whole.weight[1020:1030], part.weight)
    assert np.array_equal(rtn.eight_bits(values, 32).weight[1020:1030], rtn.eight_bits(values[1020:1030], 32).weight)
