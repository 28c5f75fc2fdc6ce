# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What becomes of a matrix, and the memory that it takes: a robot imports models that are larger than its memory."""
from __future__ import annotations

from collections.abc import Callable
import tracemalloc
from typing import Any

from msgspec.structs import replace
import numpy as np
import pytest
from small_checkpoint import MODEL

from tinychat_core.checkpoint.linear import Linear
from tinychat_core.checkpoint.rtn import eight_bits, four_bits
from tinychat_core.errors import InvalidParameterError
from tinychat_core.importers.recipe import Recipe

ROWS, COLS = 40000, 512


@pytest.fixture(scope='module')
def matrix() -> Linear:
    """Return a matrix of 20 million numbers in bf16, 41 MB."""
    numbers = np.random.default_rng(0).normal(size=(ROWS, COLS)).astype(np.float32)
    return Linear('bf16', ROWS, COLS, 0, None, (numbers.view(np.uint32) >> 16).astype(np.uint16))


@pytest.mark.parametrize(('name', 'whole'), [('embedding', eight_bits), ('layers.0.attn.qkv', four_bits)])
def test_rounding_a_few_rows_at_a_time_gives_what_the_whole_gives(
        matrix: Linear, name: str, whole: Callable[[Any, int], Linear]) -> None:
    few = matrix.take(np.arange(9001))
    found, expected = Recipe('W4', 32)(name, few), whole(few.dequantized(), 32)
    assert (found.format, found.rows) == (expected.format, 9001)
    assert np.array_equal(found.dequantized(), expected.dequantized())


@pytest.mark.parametrize('name', ['embedding', 'layers.0.attn.qkv'])
def test_it_is_never_there_in_float32_as_a_whole(matrix: Linear, name: str) -> None:
    tracemalloc.start()
    rounded = Recipe('W4', 32)(name, matrix)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    stored = sum(array.nbytes for array in rounded.arrays().values())
    assert peak < 2 * stored + 4 * ROWS * COLS / 2


def test_16_bits_are_taken_as_they_are(matrix: Linear) -> None:
    tracemalloc.start()
    assert Recipe('W16')('embedding', matrix).weight is matrix.weight
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * ROWS * COLS


def test_groups_divide_an_embedding_of_another_width() -> None:
    Recipe('W4', 32).check(replace(MODEL, embedding_size=32))
    with pytest.raises(InvalidParameterError, match='a group size of 32 does not divide an embedding of 48 numbers'):
        Recipe('W4', 32).check(replace(MODEL, embedding_size=48))
