# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What CUDA reads instead of the formats that it has no kernels for."""
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from random_matrix import random_matrix
from small_checkpoint import MODEL

from tinychat_core.checkpoint.formats import FORMATS, stored
from tinychat_core.checkpoint.manifest import Manifest, TensorEntry
from tinychat_core.loading.widening import is_widened, widened, widened_manifest

# Format -> the largest error in a group of 32 columns, as a share of its largest number.
ERRORS = {'w5z': 0, 'w4k': 2 ** -9, 'w5m': 0.504 / 127, 'w5k': 0.504 / 127, 'w6k': 0.504 / 127}


@pytest.fixture
def small_manifest() -> Manifest:
    return Manifest(family='llama', model=MODEL, weights='W4', group_size=32, tensors={
        'head': TensorEntry(0, 'w4z', 16, 256, 32, 'r16k4')}, shards=[])


@pytest.mark.parametrize('format_', FORMATS)
def test_numbers_stay_the_same_or_are_rounded_as_said(format_: str) -> None:
    linear = random_matrix(format_, 20, 64, 32, 0).packed(FORMATS[format_].layout)
    wide = widened(linear)
    if format_ not in ERRORS:
        assert wide is linear
        return
    wanted = linear.dequantized().reshape(20, -1, 32)
    error = np.abs(wide.dequantized().reshape(20, -1, 32) - wanted) / np.abs(wanted).max(axis=2, keepdims=True)
    assert error.max() <= ERRORS[format_]
    promised = stored(wide.format, 20, wide.cols, wide.group_size, wide.layout or '')
    assert {name: array.size for name, array in wide.arrays().items()} == {
        name: count for name, (_, count) in promised.items()}


def test_a_scale_that_fp16_does_not_hold() -> None:
    linear = random_matrix('w4k', 16, 32, 32, 0)
    assert linear.scales is not None and linear.subscales is not None
    linear.scales[:], linear.subscales[:] = 60000, 63
    with pytest.raises(ValueError, match='beyond the range of fp16, which CUDA needs'):
        widened(linear)


def test_the_memory_plan_counts_what_is_read(small_manifest: Manifest) -> None:
    assert not is_widened(small_manifest)
    packed = replace(small_manifest, tensors={'head': TensorEntry(0, 'w6k', 16, 256, 16, 'r16k4')})
    assert is_widened(packed)
    wide = widened_manifest(packed)
    matrix = widened(random_matrix('w6k', 16, 32, 32, 0))
    assert wide.weights_bytes == sum(array.nbytes for array in matrix.arrays().values()) > packed.weights_bytes
