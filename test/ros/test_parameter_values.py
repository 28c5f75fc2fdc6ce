# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What YAML made of a value, and what was meant."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tinychat_ros.parameter_values import convert


@pytest.mark.parametrize(('given', 'kind', 'meant'), [
    (0, float, 0.0), (30, float, 30.0), (-1, float, -1.0), ('1e-3', float, 0.001), ('1', float, 1.0), (0.5, float, 0.5),
    (8.0, int, 8), (1e3, int, 1000), ('8', int, 8), (2**63 - 1, int, 2**63 - 1), (str(2**63 - 1), int, 2**63 - 1),
    (0, bool, False), (1, bool, True), ('yes', bool, True), ('Off', bool, False), ('False', bool, False),
    ('1', bool, True), (True, bool, True),
    ('7', str, '7'), ('', str, ''), ('yes', str, 'yes'),
])
def test_one_meaning_is_taken_without_a_word(given: Any, kind: Any, meant: Any) -> None:
    warnings: list[str] = []
    taken = convert('x', given, kind, warnings.append)
    assert (taken, type(taken), warnings) == (meant, kind, [])


@pytest.mark.parametrize(('given', 'meant'), [(7, '7'), ('~', ''), ('null', '')])
def test_what_is_assumed_of_a_text_is_told(given: Any, meant: str) -> None:
    warnings: list[str] = []
    assert convert('model', given, str, warnings.append) == meant
    (warning,) = warnings
    assert warning.startswith('model: ') and str(given) in warning


@pytest.mark.parametrize(('given', 'kind', 'reason'), [
    (True, float, 'x must be a number, not the boolean true'),
    ('warm', float, "x must be a number, not 'warm'"),
    (math.nan, float, 'x must be a number, not the number nan'),
    ('inf', float, "x must be a number, not 'inf'"),
    (None, float, 'x must be a number, not nothing'),
    (10**400, float, 'x must be a number'),
    (1.5, int, 'x must be a whole number, not the number 1.5'),
    (2.0**60, int, 'x must be a whole number'),
    (False, int, 'x must be a whole number, not the boolean false'),
    ([1], int, 'x must be a whole number, not a list'),
    (2, bool, 'x must be true or false, not the number 2'),
    (1.0, bool, 'x must be true or false, not the number 1.0'),
    ('maybe', bool, "x must be true or false, not 'maybe'"),
    (True, str, """-p "x:='yes'", in a file x: 'yes'"""),
    (1.1, str, """not the number 1.1; to pass a string, write quotes that the shell does not remove: -p "x:='1.1'\""""),
    (['a'], str, 'x must be a string, not a list'),
])
def test_what_may_mean_several_things_is_refused_in_one_line(given: Any, kind: Any, reason: str) -> None:
    with pytest.raises(ValueError) as caught:
        convert('x', given, kind, lambda _: None)
    assert reason in str(caught.value) and '\n' not in str(caught.value)


def test_what_is_refused_is_not_repeated_at_length() -> None:
    with pytest.raises(ValueError) as caught:
        convert('x', 'a' * 10_000, float, lambda _: None)
    assert len(str(caught.value)) < 200
