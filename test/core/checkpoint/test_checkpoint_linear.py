# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What a matrix means in each format, and which matrices can be stacked."""
from __future__ import annotations

import numpy as np
import pytest
from random_matrix import random_matrix

from tinychat_core.checkpoint.formats import FORMATS, stored
from tinychat_core.checkpoint.layouts import LAYOUTS
from tinychat_core.checkpoint.linear import Linear, stack


@pytest.mark.parametrize('format_', FORMATS)
def test_dequantizing(format_: str) -> None:
    """Number by number, as the table in formats.py says."""
    matrix = random_matrix(format_, 7, 96, 32, 1)
    assert matrix.weight.dtype == FORMATS[format_].number
    values = matrix.dequantized()
    for row, k in ((0, 0), (6, 95), (3, 40)):
        form = FORMATS[format_]
        q, group = matrix.weight[row, k].item(), k // matrix.group_size if form.per_group else 0
        if matrix.subscales is not None:
            assert matrix.scales is not None
            subscale, *minimum_scale = matrix.subscales[row, group].reshape(-1).tolist()
            minimum = float(matrix.mins[row, k // 256]) * minimum_scale[0] if matrix.mins is not None else 0
            expected = np.float32(float(matrix.scales[row, k // 256]) * subscale * (q - form.center) - minimum)
        elif format_ == 'bf16':
            expected = np.array([q << 16], dtype=np.uint32).view(np.float32)[0]
        elif matrix.scales is None:
            expected = np.float32(q)
        else:
            zero = form.center if matrix.zeros is None else int(matrix.zeros[row, group])
            minimum = 0 if matrix.mins is None else float(matrix.mins[row, group])
            expected = np.float32(float(matrix.scales[row, group]) * (q - zero) + minimum)
        assert values[row, k] == expected


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('format_', ['w4z', 'w4k', 'w5z', 'w6k'])
def test_dequantizing_is_the_same_in_every_layout(format_: str, layout: str) -> None:
    matrix = random_matrix(format_, 35, 64, 32, 2)
    assert np.array_equal(matrix.packed(layout).dequantized(), matrix.dequantized())


@pytest.mark.parametrize('format_', [name for name, form in FORMATS.items() if form.bits < 16])
def test_stacking_keeps_every_number(format_: str) -> None:
    first, second = (random_matrix(format_, rows, 64, 32, rows) for rows in (2, 3))
    both = stack([first, second])
    assert both.format == format_ and both.rows == 5
    assert np.array_equal(both.dequantized(), np.concatenate([first.dequantized(), second.dequantized()]))


@pytest.mark.parametrize('other', ['w4z', 'w8g', 'f16', 'bf16'])
def test_different_formats_do_not_stack(other: str) -> None:
    with pytest.raises(ValueError, match='formats, widths or groups differ'):
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
    ('w4k', 16, 256, 64, 'r16k4', 'a group size of 64'),
    ('w6k', 16, 128, 16, 'r16k4', 'a group size of 16 does not fit w6k and a width of 128'),
    ('w5z', 16, 48, 16, 'r16k4', 'a width of 48'),
    ('w4m', 16, 64, 0, 'r16k4', 'a group size of 0'),
    ('f16', 16, 64, 32, 'r16k1', 'a group size of 32'),
    ('w8c', 16, 66, 0, 'r16k4', 'a width of 66'),
])
def test_what_cannot_be_stored(format_: str, rows: int, cols: int, group_size: int, layout: str,
                               reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        stored(format_, rows, cols, group_size, layout)
