# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""SamplingParams: what is accepted, and what is said about the rest."""
from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from tinychat_core.errors import InvalidParameterError
from tinychat_core.sampling import MAX_SEED, SamplingParams


@pytest.mark.parametrize('name, value', [
    ('max_new_tokens', 0), ('max_new_tokens', -1), ('max_new_tokens', -2), ('max_new_tokens', 2**31),
    ('max_new_tokens', 1.5), ('max_new_tokens', True), ('max_new_tokens', '7'), ('max_new_tokens', None),
    ('temperature', -0.1), ('temperature', math.nan), ('temperature', math.inf), ('temperature', '1'),
    ('temperature', None), ('temperature', 101.0),
    ('top_k', -1), ('top_k', 0.5), ('top_k', 2**31),
    ('top_p', -0.01), ('top_p', 1.01), ('top_p', math.nan),
    ('min_p', -0.01), ('min_p', 1.01), ('min_p', math.nan),
    ('repetition_penalty', 0.0), ('repetition_penalty', -1.0), ('repetition_penalty', math.nan),
    ('repetition_penalty', math.inf), ('repetition_penalty', 10**400),
    ('dry_multiplier', -0.1), ('dry_multiplier', math.nan), ('dry_multiplier', 101.0),
    ('dry_base', 0.9), ('dry_base', math.inf), ('dry_base', '2'),
    ('dry_allowed_length', 0), ('dry_allowed_length', 1.5), ('dry_penalty_last_n', -2), ('dry_penalty_last_n', 2**31),
    ('frequency_penalty', 2.01), ('frequency_penalty', math.nan), ('presence_penalty', -2.01),
    ('presence_penalty', '1'), ('logit_bias', 5), ('logit_bias', {-1: 1.0}), ('logit_bias', {5: 100.1}),
    ('logit_bias', {5: math.nan}), ('logit_bias', {'5': 1.0}), ('logit_bias', dict.fromkeys(range(1025), 1.0)),
    ('seed', -1), ('seed', MAX_SEED + 1), ('seed', 0.5),
    ('stop', 'one text'), ('stop', ('',)), ('stop', (1,)), ('stop', None),
])
def test_a_bad_value_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(InvalidParameterError, match=name.rstrip('s')):
        SamplingParams(**{name: value})


@pytest.mark.parametrize('name, value', [
    ('max_new_tokens', 1), ('max_new_tokens', 2**31 - 1), ('temperature', 0.0), ('temperature', 100.0),
    ('top_k', 0), ('top_p', 0.0), ('top_p', 1.0),
    ('min_p', 0.0), ('min_p', 1.0), ('repetition_penalty', 0.01), ('seed', 0),
    ('dry_multiplier', 0.0), ('dry_multiplier', 100.0), ('dry_base', 1.0), ('dry_base', 100.0),
    ('dry_allowed_length', 1), ('dry_penalty_last_n', -1), ('dry_penalty_last_n', 2**31 - 1),
    ('seed', MAX_SEED), ('stop', ('a', 'b')), ('frequency_penalty', -2.0), ('frequency_penalty', 2.0),
    ('presence_penalty', -2.0), ('presence_penalty', 2.0), ('logit_bias', ((0, -100.0), (9, 100.0))),
])
def test_the_ends_of_each_range_are_accepted(name: str, value: Any) -> None:
    assert getattr(SamplingParams(**{name: value}), name) == value


def test_values_become_the_declared_types() -> None:
    params = SamplingParams(max_new_tokens=np.int32(3), temperature=1, top_p=np.float32(0.5), stop=['a'])
    assert [type(getattr(params, name)) for name in ('max_new_tokens', 'temperature', 'top_p', 'stop')] == [
        int, float, float, tuple]


def test_a_temperature_that_would_overflow_is_greedy() -> None:
    assert SamplingParams(temperature=1e-40).temperature == 0.0


def test_it_cannot_be_changed_unchecked() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        SamplingParams().temperature = -1.0  # type: ignore[misc]


def test_a_given_seed_is_used_and_a_missing_one_is_fresh() -> None:
    assert SamplingParams(seed=7).seed_or_fresh() == 7
    fresh = {SamplingParams().seed_or_fresh() for _ in range(4)}
    assert len(fresh) == 4 and all(0 <= seed <= MAX_SEED for seed in fresh)
