# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Where each number of a matrix lies."""
from __future__ import annotations

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest
from random_matrix import random_matrix

from tinychat_core.checkpoint.formats import FORMATS, stored
from tinychat_core.checkpoint.layouts import LAYOUTS, pack


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('format_', FORMATS)
@settings(max_examples=12, deadline=None)
@given(rows=st.integers(1, 70), groups=st.integers(1, 5), group_size=st.sampled_from([32, 64, 128]),
       seed=st.integers(0, 1000))
def test_unpacking_gives_back_what_was_packed(format_: str, layout: str, rows: int, groups: int,
                                              group_size: int, seed: int) -> None:
    matrix = random_matrix(format_, rows, groups * group_size, group_size, seed)
    packed = matrix.packed(layout)
    back = packed.unpacked()
    assert packed.layout == layout and back.layout is None
    for part, array in matrix.arrays().items():
        assert np.array_equal(back.arrays()[part], array), part
        assert back.arrays()[part].dtype == array.dtype


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('format_', FORMATS)
def test_what_is_packed_is_what_the_format_says_it_stores(format_: str, layout: str) -> None:
    matrix = random_matrix(format_, 21, 96, 32, 0)
    found = {part: (array.dtype, array.shape) for part, array in matrix.packed(layout).arrays().items()}
    promised = stored(format_, 21, matrix.cols, matrix.group_size, layout)
    assert found == {part: (np.dtype(kind), (count,)) for part, (kind, count) in promised.items()}


def test_a_large_matrix_is_packed_piece_by_piece_into_the_same_order() -> None:
    """5 million numbers are more than one piece; rows 0 .. 15 alone are not."""
    matrix = np.arange(2500 * 2048, dtype=np.int32).reshape(2500, 2048)
    packed = pack(matrix, LAYOUTS['r16k4'])
    tiles = packed.reshape(-1, 16 * 2048)
    for tile in (0, 7, 127, 128, 155):
        assert np.array_equal(tiles[tile], pack(matrix[16 * tile:16 * tile + 16], LAYOUTS['r16k4']))
    # The last tile has four rows, and zeros.
    last = tiles[156].reshape(512, 16, 4)
    assert np.array_equal(last[:, :4].transpose(1, 0, 2).reshape(4, 2048), matrix[2496:])
    assert not last[:, 4:].any()


def test_eight_bits_in_r16k4() -> None:
    """[tile][k / 4][16 rows][4 k]."""
    q = np.random.default_rng(0).integers(-128, 128, (40, 64)).astype(np.int8)
    packed = pack(q, LAYOUTS['r16k4']).reshape(3, 16, 16, 4)
    for row, k in ((0, 0), (3, 17), (39, 63), (16, 5)):
        assert packed[row // 16, k // 4, row % 16, k % 4] == q[row, k]
    assert not packed[2, :, 8:].any()


def test_four_bits_in_r16k4() -> None:
    """[tile][pair p][16 rows][4]: byte j holds k = 8p + j in its low nibble, 8p + 4 + j in the high one."""
    q = np.random.default_rng(0).integers(0, 16, (40, 64)).astype(np.uint8)
    packed = pack(q, LAYOUTS['r16k4'], bits=4).reshape(3, 8, 16, 4)
    for row, p, j in ((0, 0, 0), (39, 7, 3), (17, 2, 1)):
        assert packed[row // 16, p, row % 16, j] == q[row, 8 * p + j] | q[row, 8 * p + 4 + j] << 4
    assert not packed[2, :, 8:].any()


def test_five_bits_in_r16k4() -> None:
    """[tile][32 k][5 lines][16 rows][4]: four lines of nibbles; bit i of the last is the fifth of k = 4i + j."""
    q = np.random.default_rng(0).integers(0, 32, (40, 64)).astype(np.uint8)
    packed = pack(q, LAYOUTS['r16k4'], bits=5).reshape(3, 2, 5, 16, 4)
    for row, piece, i, j in ((0, 0, 0, 0), (39, 1, 7, 3), (17, 0, 2, 1)):
        element = q[row, 32 * piece + 4 * i + j]
        assert packed[row // 16, piece, i // 2, row % 16, j] >> 4 * (i % 2) & 15 == element & 15
        assert packed[row // 16, piece, 4, row % 16, j] >> i & 1 == element >> 4


def test_six_bits_in_r16k4() -> None:
    """[tile][16 k][3 lines][16 rows][4]: two lines of nibbles; bits 2i and 2i + 1 of the last belong to k = 4i + j."""
    q = np.random.default_rng(0).integers(0, 64, (40, 32)).astype(np.uint8)
    packed = pack(q, LAYOUTS['r16k4'], bits=6).reshape(3, 2, 3, 16, 4)
    for row, piece, i, j in ((0, 0, 0, 0), (39, 1, 3, 3), (17, 0, 2, 1)):
        element = q[row, 16 * piece + 4 * i + j]
        assert packed[row // 16, piece, i // 2, row % 16, j] >> 4 * (i % 2) & 15 == element & 15
        assert packed[row // 16, piece, 2, row % 16, j] >> 2 * i & 3 == element >> 4


def test_pairs_of_six_bits_in_r16k4() -> None:
    """[tile][group][24]: low nibbles of both numbers of a row in a byte, then the four high bits, rows j and j + 8."""
    matrix = random_matrix('w4k', 40, 64, 32, 0)
    packed = matrix.packed('r16k4').subscales
    assert packed is not None and matrix.subscales is not None
    groups = packed.reshape(3, 16, 24)
    for row, group in ((0, 0), (39, 15), (21, 4)):
        first, second = (int(number) for number in matrix.subscales[row, group])
        low, high = groups[row // 16, group, row % 16], groups[row // 16, group, 16 + row % 8] >> row % 16 // 8 * 4 & 15
        assert (low, high) == (first & 15 | (second & 15) << 4, first >> 4 | second >> 4 << 2)


def test_sixteen_bits_in_r16k1() -> None:
    """[tile][k][16 rows]."""
    values = np.random.default_rng(0).normal(size=(20, 24)).astype(np.float16)
    packed = pack(values, LAYOUTS['r16k1']).reshape(2, 24, 16)
    for row, k in ((0, 0), (19, 23), (16, 7)):
        assert packed[row // 16, k, row % 16] == values[row, k]


def test_scales_and_zeros_in_r16k4() -> None:
    """Scales [tile][group][16 rows]; zeros [tile][group][8]: byte j holds row j low and row j + 8 high."""
    matrix = random_matrix('w4z', 40, 96, 32, 0)
    packed = matrix.packed('r16k4')
    assert matrix.scales is not None and packed.scales is not None
    assert matrix.zeros is not None and packed.zeros is not None
    scales, zeros = packed.scales.reshape(3, 3, 16), packed.zeros.reshape(3, 3, 8)
    for row, group in ((0, 0), (39, 2), (21, 1)):
        assert scales[row // 16, group, row % 16] == matrix.scales[row, group]
        nibbles = zeros[row // 16, group, row % 8]
        assert (nibbles >> 4 if row % 16 >= 8 else nibbles & 15) == matrix.zeros[row, group]
    assert not scales[2, :, 8:].any()


def test_the_canonical_layout_is_row_major_with_even_columns_low() -> None:
    matrix = random_matrix('w4z', 5, 96, 32, 0)
    packed = matrix.packed('rows')
    assert packed.scales is not None and packed.zeros is not None and matrix.zeros is not None
    assert np.array_equal(packed.weight.reshape(5, 48), matrix.weight[:, ::2] | matrix.weight[:, 1::2] << 4)
    assert np.array_equal(packed.scales.reshape(5, 3), matrix.scales)
    # Three groups take two bytes, and the last nibble is empty.
    assert packed.zeros.reshape(5, 2)[2, 1] == matrix.zeros[2, 2]


def test_one_layout_is_reordered_into_another() -> None:
    matrix = random_matrix('w4m', 37, 64, 32, 0)
    there, straight = matrix.packed('rows').packed('r16k4'), matrix.packed('r16k4')
    assert all(np.array_equal(there.arrays()[part], array) for part, array in straight.arrays().items())


def test_a_width_that_steps_do_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match='12 is not a multiple of 8'):
        pack(np.zeros((16, 12), dtype=np.uint8), LAYOUTS['r16k4'], bits=4)
