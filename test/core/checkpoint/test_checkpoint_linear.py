# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What a matrix means in each format, and which formats hold which others exactly."""
from __future__ import annotations

import numpy as np
import pytest
from test_layouts import random_matrix

from tinychat_core.checkpoint.formats import FORMATS, stored
from tinychat_core.checkpoint.layouts import LAYOUTS
from tinychat_core.checkpoint.linear import converted, Linear, stack


@pytest.mark.parametrize('format_', FORMATS)
def test_dequantizing(format_: str) -> None:
    """Number by number, as the table in formats.py says."""
    matrix = random_matrix(format_, 7, 96, 32, 1)
    assert matrix.weight.dtype == FORMATS[format_].number
    values = matrix.dequantized()
    for row, k in ((0, 0), (6, 95), (3, 40)):
        q, group = matrix.weight[row, k], k // 32 if FORMATS[format_].per_group else 0
        if format_ == 'bf16':
            expected = np.array([int(q) << 16], dtype=np.uint32).view(np.float32)[0]
        elif matrix.scales is None:
            expected = np.float32(q)
        else:
            zero = 0 if matrix.zeros is None else int(matrix.zeros[row, group])
            minimum = 0 if matrix.mins is None else float(matrix.mins[row, group])
            expected = np.float32(float(matrix.scales[row, group]) * (int(q) - zero) + minimum)
        assert values[row, k] == expected


@pytest.mark.parametrize('layout', LAYOUTS)
def test_dequantizing_is_the_same_in_every_layout(layout: str) -> None:
    matrix = random_matrix('w4z', 35, 64, 32, 2)
    assert np.array_equal(matrix.packed(layout).dequantized(), matrix.dequantized())


def q4_0(scales: np.ndarray) -> Linear:
    """Return a matrix as Q4_0 has it: the zero is 8 everywhere, every q occurs."""
    rows = len(scales)
    weight = np.tile(np.arange(32, dtype=np.uint8) % 16, (rows, 1))
    zeros = np.full((rows, 1), 8, np.uint8)
    return Linear('w4z', rows, 32, 32, None, weight, scales.reshape(rows, 1), zeros=zeros)


def test_a_minimum_of_minus_eight_scales_is_exact_for_every_scale_that_does_not_overflow() -> None:
    """All 63,488 finite fp16 scales: eight is a power of two, so only the exponent moves."""
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    finite = every[np.isfinite(every)]
    fits = np.abs(finite.astype(np.float32)) * 8 <= np.finfo(np.float16).max
    matrix = q4_0(finite[fits])
    as_minimum = converted(matrix, 'w4m')
    assert as_minimum.format == 'w4m' and as_minimum.zeros is None
    assert np.array_equal(as_minimum.dequantized(), matrix.dequantized())
    for scale in finite[~fits][:3]:
        with pytest.raises(ValueError, match='does not represent w4z exactly'):
            converted(q4_0(np.array([scale])), 'w4m')


def test_int8_holds_w4z_exactly() -> None:
    matrix = random_matrix('w4z', 9, 64, 32, 3)
    assert np.array_equal(converted(matrix, 'w8g').dequantized(), matrix.dequantized())


def test_stacking_takes_the_first_format_that_holds_all() -> None:
    first, second = q4_0(np.float16([0.5, 0.25])), random_matrix('w4m', 3, 32, 32, 4)
    both = stack([first, second])
    assert both.format == 'w4m' and both.rows == 5
    assert np.array_equal(both.dequantized(), np.concatenate([first.dequantized(), second.dequantized()]))


@pytest.mark.parametrize('other', ['w8g', 'f16', 'bf16'])
def test_formats_that_hold_each_other_nowhere_do_not_stack(other: str) -> None:
    with pytest.raises(ValueError, match=f'no format represents w4m, {other} exactly'):
        stack([random_matrix('w4m', 3, 32, 32, 5), random_matrix(other, 3, 32, 32, 5)])


def test_float32_becomes_bf16_where_that_loses_nothing() -> None:
    values = np.float32([[1.5, -2.0 ** -130, 3e38]])  # far outside of fp16
    values = (values.view(np.uint32) & 0xffff0000).view(np.float32)
    narrow = Linear('f32', 1, 3, 0, None, values).in_16_bits()
    assert narrow.format == 'bf16' and np.array_equal(narrow.dequantized(), values)


def test_float32_is_rounded_to_f16_else() -> None:
    values = np.float32([[1.0009765625, 0.1, -65519]])
    narrow = Linear('f32', 1, 3, 0, None, values).in_16_bits()
    assert narrow.format == 'f16' and np.array_equal(narrow.weight, values.astype(np.float16))


def test_float32_beyond_f16_is_rounded_to_the_nearest_even_bf16() -> None:
    values = np.float32([[70000.3, 1 + 2 ** -8, 1 + 3 * 2 ** -8, 1 + 2 ** -8 + 2 ** -20]])
    narrow = Linear('f32', 1, 4, 0, None, values).in_16_bits()
    assert narrow.format == 'bf16'
    assert narrow.dequantized()[0].tolist() == [70144.0, 1.0, 1 + 2 ** -6, 1 + 2 ** -7]


@pytest.mark.parametrize(('format_', 'rows', 'cols', 'group_size', 'layout', 'reason'), [
    ('w5', 16, 64, 32, 'r16k4', 'format w5 is unknown'),
    ('w4m', 16, 64, 32, 'r8', 'layout r8 is unknown'),
    ('w4m', 0, 64, 32, 'r16k4', 'is empty'),
    ('w4m', 16, 64, 48, 'r16k4', 'a group size of 48'),
    ('w4m', 16, 64, 0, 'r16k4', 'a group size of 0'),
    ('f16', 16, 64, 32, 'r16k1', 'a group size of 32'),
    ('w8c', 16, 66, 0, 'r16k4', 'a width of 66'),
])
def test_what_cannot_be_stored(format_: str, rows: int, cols: int, group_size: int, layout: str,
                               reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        stored(format_, rows, cols, group_size, layout)
