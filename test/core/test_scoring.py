# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Probabilities of given continuations equal those of `score`; copies of a cache, and hidden states."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from plain_llama import PlainLlama, random_tensors
import pytest

from tinychat_core import scoring
from tinychat_core.bench import shapes
from tinychat_core.engine import Cache, Engine, ForwardBatch
from tinychat_core.errors import InvalidParameterError, PromptTooLongError
from tinychat_core.scoring import continuation_logprobs, log_softmax

VOCAB, CONTEXT = 300, 200
MODEL = {'model_type': 'llama', 'vocab_size': VOCAB, 'hidden_size': 96, 'intermediate_size': 160,
         'num_hidden_layers': 2, 'num_attention_heads': 6, 'num_key_value_heads': 3, 'head_dim': 32,
         'max_position_embeddings': CONTEXT, 'rms_norm_eps': 1e-5}
PROMPT = np.random.default_rng(0).integers(0, VOCAB, 70).tolist()
OPTIONS = [[5], [7, 8], [7, 8, 9], [7, 11], [5, 5, 5, 5], [200]]


@pytest.fixture(autouse=True)
def model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(shapes._SHAPES, 'tiny', shapes._Shape(MODEL, group_size=32))


def engine_of(precision: str = 'W4A16', kv_cache: str = 'auto') -> Engine:
    weights = precision.partition('A')[0]
    listed = shapes.manifest('tiny', weights)
    return Engine(listed.model, random_tensors(listed), weights=weights, precision=precision, threads=2,
                  kv_cache=kv_cache)


def scored(engine: Engine, options: Sequence[Sequence[int]] = OPTIONS) -> list[float]:
    """Return the same by a prefill for each option."""
    sums = []
    for option in options:
        rows = log_softmax(engine.score([*PROMPT, *option]))[len(PROMPT) - 1:-1]
        sums.append(sum(rows[i, token] for i, token in enumerate(option)))
    return sums


@pytest.mark.parametrize('memory', [2**40, 0], ids=['in one batch', 'one by one'])
@pytest.mark.parametrize('kv_cache', ['auto', 'int8'])
def test_each_continuation_has_the_probability_of_its_tokens(monkeypatch: pytest.MonkeyPatch, memory: int,
                                                             kv_cache: str) -> None:
    monkeypatch.setattr(scoring, 'available_memory', lambda: memory)
    engine = engine_of(kv_cache=kv_cache)
    cache = engine.new_cache()
    logits = engine.prefill(cache, PROMPT)
    batches: list[int] = []
    forward = engine.forward
    monkeypatch.setattr(engine, 'forward', lambda batch, *more: (batches.append(batch.num_sequences),
                                                                 forward(batch, *more))[1])
    found = continuation_logprobs(engine, cache, logits, OPTIONS)
    assert batches == ([3] if memory else [1] * 3)  # the beginnings 7, 7 8 and 5 5 5
    assert cache.length == len(PROMPT)
    assert np.allclose(found, scored(engine_of(kv_cache=kv_cache)), atol=1e-5)
    assert np.array_equal(engine.decode(cache, 3), engine.score([*PROMPT, 3])[-1])  # the cache is as it was


def test_a_continuation_that_does_not_fit_is_refused() -> None:
    engine = engine_of()
    cache = engine.new_cache()
    logits = engine.prefill(cache, [1] * (CONTEXT - 1))
    continuation_logprobs(engine, cache, logits, [[1, 2]])
    with pytest.raises(PromptTooLongError):
        continuation_logprobs(engine, cache, logits, [[1, 2, 3]])


@pytest.mark.parametrize('precision', ['W4', 'W4A16', 'W4A8'])
@pytest.mark.parametrize('kv_cache', ['auto', 'int8'])
@pytest.mark.parametrize('length', [0, 1, 16, 45, 70])
def test_a_copy_of_a_cache_goes_on_as_the_cache_does(precision: str, kv_cache: str, length: int) -> None:
    engine = engine_of(precision, kv_cache)
    source, other = engine.new_cache(), engine.new_cache()
    engine.prefill(source, PROMPT)
    engine.prefill(other, PROMPT[::-1])
    other.copy_prefix(source, length)
    assert other.length == length and source.length == len(PROMPT)
    source.truncate(length)
    for token in (3, 4):
        assert np.array_equal(engine.decode(other, token), engine.decode(source, token))


def test_only_what_is_there_is_copied() -> None:
    engine = engine_of()
    source: Cache = engine.new_cache()
    engine.prefill(source, PROMPT)
    for cache, length in ((engine.new_cache(), 71), (engine.new_cache(), -1), (source, 3),
                          (engine_of().new_cache(), 3)):
        with pytest.raises(ValueError):
            cache.copy_prefix(source, length)


# --- hidden states ----------------------------------------------------------------------------------------------------

def forward(engine: Engine, tokens: Sequence[int], **wanted: Any) -> Any:
    batch = ForwardBatch()
    batch.add_sequence(tokens, engine.new_cache(), **wanted)
    return engine.forward(batch)


@pytest.mark.parametrize('count', [1, 9, 70])
def test_hidden_states_are_what_the_head_multiplies(count: int) -> None:
    engine = engine_of('W16A16')
    both = forward(engine, PROMPT[:count], hidden='all', logits='all')
    assert both.hidden.shape == (count, 96)
    plain = PlainLlama('tiny', 'W16')
    head: npt.NDArray[np.float32] = plain._tensors.get('head', plain.embedding)
    assert np.abs(both.hidden @ head.T - both.logits).max() < 1e-3 * np.abs(both.logits).max()
    assert np.array_equal(forward(engine, PROMPT[:count], hidden='all').hidden, both.hidden)
    assert np.array_equal(forward(engine, PROMPT[:count], logits='all').logits, both.logits)


@pytest.mark.parametrize('precision', ['W4', 'W8A8'])
def test_some_hidden_states_are_those_of_all(precision: str) -> None:
    engine = engine_of(precision)
    every = forward(engine, PROMPT, hidden='all').hidden
    assert np.array_equal(forward(engine, PROMPT, hidden=[69, 3], logits=[3, 20]).hidden, every[[69, 3]])


@pytest.mark.parametrize('hidden', [[70], [-1], [1, 1], 'some', [0.5]])
def test_hidden_states_of_tokens_that_are_not_there_are_refused(hidden: Any) -> None:
    with pytest.raises((InvalidParameterError, ValueError)):
        forward(engine_of(), PROMPT, hidden=hidden)
