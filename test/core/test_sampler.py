# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The native sampler against a plain implementation of the same definition."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tinychat_core._tinychat import Sampler

VOCAB = 24
DRAWS = 20_000
LOGITS = np.random.default_rng(1).normal(0, 2, VOCAB).astype(np.float32)

SETTINGS: list[dict[str, Any]] = [
    {'temperature': 1.0},
    {'temperature': 0.5},
    {'temperature': 3.0},
    {'temperature': 1.0, 'top_k': 1},
    {'temperature': 1.0, 'top_k': 5},
    {'temperature': 2.0, 'top_k': 1000},
    {'temperature': 1.0, 'top_p': 0.9},
    {'temperature': 1.0, 'top_p': 0.3},
    {'temperature': 1.0, 'top_p': 0.0},
    {'temperature': 1.0, 'min_p': 0.1},
    {'temperature': 1.0, 'min_p': 1.0},
    {'temperature': 1.0, 'repetition_penalty': 1.3},
    {'temperature': 1.0, 'repetition_penalty': 0.7},
    {'temperature': 1.0, 'frequency_penalty': 1.0},
    {'temperature': 1.0, 'presence_penalty': -1.5},
    {'temperature': 1.0, 'logit_bias': {0: 1.5, 5: 2.0, 23: -100.0}},
    {'temperature': 1.5, 'top_k': 6, 'top_p': 0.95, 'frequency_penalty': 0.7, 'presence_penalty': 0.4,
     'logit_bias': {5: 1.0, 7: 2.0}, 'repetition_penalty': 1.2},
    {'temperature': 1.5, 'top_k': 12, 'top_p': 0.95, 'min_p': 0.05, 'repetition_penalty': 1.2},
]
SEEN = [3, 5, 5, 11]


def plain_distribution(logits: npt.NDArray[Any], seen: list[int] | None = None, *, temperature: float = 1.0,
                       top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0,
                       repetition_penalty: float = 1.0, frequency_penalty: float = 0.0, presence_penalty: float = 0.0,
                       logit_bias: Mapping[int, float] | None = None) -> npt.NDArray[np.float64]:
    """Return each token's probability, in float64, one definition after the other."""
    scores = logits.astype(np.float64)
    seen = seen or []
    for token in set(seen):
        scores[token] *= 1 / repetition_penalty if scores[token] > 0 else repetition_penalty
    for token, bias in (logit_bias or {}).items():
        scores[token] += bias
    for token in seen:
        scores[token] -= frequency_penalty + presence_penalty / seen.count(token)
    scores /= temperature
    if top_k:
        scores[np.argsort(-scores, kind='stable')[top_k:]] = -np.inf
    p = np.exp(scores - scores.max())
    p /= p.sum()
    order = np.argsort(-p, kind='stable')
    before = np.cumsum(p[order]) - p[order]
    if top_p < 1:
        p[order[1:][before[1:] >= top_p]] = 0
    p[p < min_p * p.max()] = 0
    return p / p.sum()


def drawn(settings: dict[str, Any], logits: npt.NDArray[np.float32] = LOGITS, seen: Sequence[int] = SEEN,
          seed: int = 17, draws: int = DRAWS) -> npt.NDArray[np.int64]:
    sampler = Sampler(seed, **settings)
    for token in seen:
        sampler.accept(token)
    return np.array([sampler.sample(logits) for _ in range(draws)])


@pytest.mark.parametrize('settings', SETTINGS, ids=str)
def test_only_the_defined_tokens_are_drawn(settings: dict[str, Any]) -> None:
    allowed = np.flatnonzero(plain_distribution(LOGITS, SEEN, **settings))
    assert set(drawn(settings)) <= set(allowed)


@pytest.mark.parametrize('settings', SETTINGS, ids=str)
def test_tokens_are_drawn_as_often_as_defined(settings: dict[str, Any]) -> None:
    expected = DRAWS * plain_distribution(LOGITS, SEEN, **settings)
    often = expected >= 5  # Where chi-square holds; the rest counts as one cell.
    counts = np.bincount(drawn(settings), minlength=VOCAB)
    cells = [*zip(counts[often], expected[often], strict=True)]
    if expected[~often].sum() >= 5:
        cells.append((counts[~often].sum(), expected[~often].sum()))
    chi_square = sum((count - mean) ** 2 / mean for count, mean in cells)
    freedom = len(cells) - 1
    assert chi_square <= freedom + 4 * np.sqrt(2 * freedom)


def test_greedy_takes_the_lowest_of_equal_ids() -> None:
    logits = np.zeros(VOCAB, np.float32)
    logits[[4, 9, 20]] = 3.5
    assert Sampler(0).sample(logits) == 4


def test_greedy_looks_at_nothing_but_the_penalty() -> None:
    sampler = Sampler(0, temperature=0.0, top_k=3, top_p=0.1, min_p=0.9, repetition_penalty=1e2)
    first = sampler.sample(LOGITS)
    sampler.accept(first)
    assert first == LOGITS.argmax() and sampler.sample(LOGITS) == np.argsort(-LOGITS)[1]


@pytest.mark.parametrize('settings, allowed', [({'top_k': 3}, {0, 1, 2}), ({'top_p': 0.5}, {0, 1, 2, 3})])
def test_of_equals_the_lowest_ids_stay(settings: dict[str, Any], allowed: set[int]) -> None:
    logits = np.zeros(8, np.float32)
    assert set(drawn({'temperature': 1.0, **settings}, logits, [], draws=500)) == allowed


def test_tokens_of_the_prompt_are_not_penalized_for_their_number() -> None:
    sampler, best = Sampler(0, frequency_penalty=100.0, presence_penalty=100.0), int(LOGITS.argmax())
    sampler.accept(best, is_prompt=True)
    assert sampler.sample(LOGITS) == best
    sampler.accept(best)
    assert sampler.sample(LOGITS) == np.argsort(-LOGITS)[1]


def test_a_bias_of_no_token_of_the_model_changes_nothing() -> None:
    assert Sampler(0, logit_bias={VOCAB: 100.0}).sample(LOGITS) == LOGITS.argmax()


@pytest.mark.parametrize('bad', [{'frequency_penalty': np.nan}, {'presence_penalty': np.inf},
                                 {'logit_bias': {3: np.nan}}, {'logit_bias': {-1: 1.0}}], ids=str)
def test_penalties_that_make_no_sense_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        Sampler(0, **bad)


def test_the_same_seed_draws_the_same_tokens() -> None:
    once, again, other = (drawn({'temperature': 1.0}, seed=seed, draws=100).tolist() for seed in (5, 5, 6))
    assert once == again != other


def test_a_large_vocabulary_keeps_the_defined_nucleus() -> None:
    logits = np.random.default_rng(2).normal(0, 3, 49152).astype(np.float32)
    allowed = np.flatnonzero(plain_distribution(logits, top_p=0.2))
    assert set(drawn({'temperature': 1.0, 'top_p': 0.2}, logits, [], draws=300)) <= set(allowed)


def test_the_logits_stay_as_they_are() -> None:
    logits = LOGITS.copy()
    drawn({'temperature': 1.0, 'top_k': 4, 'repetition_penalty': 2.0}, logits, draws=3)
    assert np.array_equal(logits, LOGITS)


@pytest.mark.parametrize('bad', [np.nan, np.inf])
@pytest.mark.parametrize('temperature', [0.0, 1.0])
def test_logits_that_are_no_numbers_are_an_error(bad: float, temperature: float) -> None:
    with pytest.raises(ValueError, match='not finite'):
        Sampler(0, temperature=temperature).sample(np.full(VOCAB, bad, np.float32))


def test_a_bit_mask_forbids_tokens() -> None:
    mask = np.zeros(1, np.uint32)
    mask[0] = 1 << 2 | 1 << 19
    sampler = Sampler(3, temperature=100.0)
    assert {sampler.sample(LOGITS, mask) for _ in range(100)} == {2, 19}


@pytest.mark.parametrize('settings', [{}, {'temperature': 2.0}, {'temperature': 1.0, 'top_k': 3, 'top_p': 0.5},
                                      {'repetition_penalty': 5.0}], ids=str)
def test_log_probabilities_are_those_of_the_model(settings: dict[str, Any]) -> None:
    """Penalties, masks, temperature and what follows change what is drawn, not what is told."""
    sampler = Sampler(1, **settings, top_logprobs=4)
    sampler.accept(int(LOGITS.argmax()))
    expected = LOGITS - np.log(np.exp(LOGITS.astype(np.float64)).sum())
    mask = np.array([0xFFFFFFFF ^ 1 << int(LOGITS.argmax())], np.uint32)
    for allowed in (None, mask):
        token = sampler.sample(LOGITS, allowed)
        logprob, top = sampler.logprobs
        assert logprob == pytest.approx(expected[token], abs=1e-6)
        assert [other for other, _ in top] == np.argsort(-LOGITS)[:4].tolist()
        assert [value for _, value in top] == pytest.approx(np.sort(expected)[::-1][:4], abs=1e-6)


@pytest.mark.parametrize(('wanted', 'told'), [(0, 0), (1, 1), (VOCAB + 5, VOCAB)])
def test_there_are_as_many_alternatives_as_wanted(wanted: int, told: int) -> None:
    sampler = Sampler(1, top_logprobs=wanted)
    sampler.sample(LOGITS)
    assert len(sampler.logprobs[1]) == told
