# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Every family against transformers in float32: prefill, decode, four bits, and long positions."""
from __future__ import annotations

from pathlib import Path

from families.measuring import BOUND, error_at_long_positions, errors_in_4_bits, errors_in_16_bits, LONG_CONTEXTS
from families.table import BEGIN, END, PAGE
from families.tiny_models import MODELS
import pytest


def test_the_page_of_families_has_a_row_of_small_errors_for_each() -> None:
    text = PAGE.read_text(encoding='utf-8')
    rows = [line.strip('| \n').split('|') for line in text.partition(BEGIN)[2].partition(END)[0].splitlines()[2:]]
    assert [row[0].strip() for row in rows] == list(MODELS)
    assert all(float(cell) <= BOUND for row in rows for cell in row[1:] if cell.strip())


@pytest.mark.parametrize('name', MODELS)
def test_16_bits_equal_the_reference(name: str, tmp_path: Path) -> None:
    prefill, decode = errors_in_16_bits(name, tmp_path)
    assert prefill <= BOUND and decode <= BOUND


@pytest.mark.parametrize('name', MODELS)
def test_4_bits_equal_the_reference_on_the_same_weights(name: str, tmp_path: Path) -> None:
    floats, bytes_, before_rounding = errors_in_4_bits(name, tmp_path)
    assert before_rounding > 0.01  # rounding shows
    assert floats <= BOUND
    # Activations in bytes: what they cost a real model is measured elsewhere; here no part of a family is left out.
    assert bytes_ < 0.3


@pytest.mark.parametrize('name', LONG_CONTEXTS)
def test_positions_beyond_4096(name: str, tmp_path: Path) -> None:
    assert error_at_long_positions(name, tmp_path) <= BOUND
