# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Several sequences in one batch: each one's numbers are those that it has alone, bit for bit."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from plain_llama import PlainLlama, random_tensors
import pytest

from tinychat_core import _tinychat
from tinychat_core._tinychat import Sampler
from tinychat_core.bench import shapes
from tinychat_core.cores import Cores
from tinychat_core.engine import Cache, Engine, ForwardBatch
from tinychat_core.errors import InvalidParameterError

Logits = npt.NDArray[np.float32]

VOCAB, CONTEXT = 300, 700
# Two heads a KV head, and a KV head more than threads: long caches are read in parts.
MODEL = {'model_type': 'llama', 'vocab_size': VOCAB, 'hidden_size': 96, 'intermediate_size': 160,
         'num_hidden_layers': 2, 'num_attention_heads': 6, 'num_key_value_heads': 3, 'head_dim': 32,
         'max_position_embeddings': CONTEXT, 'rms_norm_eps': 1e-5}
# Tokens that each sequence has in its cache, and how many come then: decoded ones, few and many, one of several passes.
LENGTHS = [(10, 1), (600, 1), (0, 1), (3, 2), (0, 8), (40, 9), (7, 33), (0, 300), (530, 1)]


@pytest.fixture(autouse=True)
def model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(shapes._SHAPES, 'tiny', shapes._Shape(MODEL, group_size=32))


def engine_of(precision: str, kv_cache: str = 'auto', threads: int = 2, **changes: Any) -> Engine:
    weights = precision.partition('A')[0]
    listed = shapes.manifest('tiny', weights)
    return Engine(listed.model.replace(**changes), random_tensors(listed), weights=weights, precision=precision,
                  threads=threads, kv_cache=kv_cache)


def random_ids(count: int, seed: int) -> list[int]:
    return np.random.default_rng(seed).integers(0, VOCAB, count).tolist()


def filled(engine: Engine, count: int, seed: int) -> Cache:
    cache = engine.new_cache()
    if count:
        engine.prefill(cache, random_ids(count, 1000 + seed))
    return cache


def logits_of(engine: Engine, *sequences: dict[str, Any]) -> Logits:
    batch = ForwardBatch()
    for sequence in sequences:
        batch.add_sequence(**{'logits': 'all', **sequence})
    return engine.forward(batch).logits


@pytest.mark.slow
@pytest.mark.parametrize('kv_cache', ['auto', 'int8'])
@pytest.mark.parametrize('precision', ['W4', 'W4A8', 'W4A16', 'W8', 'W8A8', 'W8A16', 'W16A16'])
@pytest.mark.parametrize('isa', _tinychat.isas())
def test_a_sequence_has_the_same_numbers_alone_and_beside_others(monkeypatch: pytest.MonkeyPatch, isa: str,
                                                                 precision: str, kv_cache: str) -> None:
    monkeypatch.setenv('TINYCHAT_ISA', isa)
    engine = engine_of(precision, kv_cache)
    tokens = [random_ids(count, i) for i, (_, count) in enumerate(LENGTHS)]
    alone_caches = [filled(engine, held, i) for i, (held, _) in enumerate(LENGTHS)]
    alone = [logits_of(engine, {'tokens': ids, 'cache': cache})
             for ids, cache in zip(tokens, alone_caches, strict=True)]
    caches = [filled(engine, held, i) for i, (held, _) in enumerate(LENGTHS)]
    found = logits_of(engine, *({'tokens': ids, 'cache': cache} for ids, cache in zip(tokens, caches, strict=True)))
    assert np.array_equal(found, np.concatenate(alone))
    assert [cache.length for cache in caches] == [held + count for held, count in LENGTHS]
    # What the caches hold is the same, too: the tokens that follow tell.
    following = logits_of(engine, *({'tokens': [i], 'cache': cache} for i, cache in enumerate(caches)))
    assert np.array_equal(following, [engine.decode(cache, i) for i, cache in enumerate(alone_caches)])


@pytest.mark.parametrize('precision', ['W4', 'W4A8', 'W8', 'W16A16'])
@pytest.mark.parametrize('isa', _tinychat.isas())
def test_unequal_cores_do_not_change_numbers(monkeypatch: pytest.MonkeyPatch, isa: str, precision: str) -> None:
    monkeypatch.setenv('TINYCHAT_ISA', isa)
    found = []
    for are_equal in (True, False):
        monkeypatch.setattr('tinychat_core.engine.usable_cores', lambda equal=are_equal: Cores(2, 2, equal))
        engine = engine_of(precision)
        caches = [filled(engine, held, i) for i, (held, _) in enumerate(LENGTHS)]
        found.append(logits_of(engine, *({'tokens': random_ids(count, i), 'cache': cache}
                                         for i, ((_, count), cache) in enumerate(zip(LENGTHS, caches, strict=True)))))
    assert np.array_equal(*found)


@pytest.mark.parametrize('precision', ['W4', 'W4A16'])
def test_some_logits_are_those_of_all(precision: str) -> None:
    engine = engine_of(precision)
    ids = random_ids(300, 0)
    every = logits_of(engine, {'tokens': ids, 'cache': engine.new_cache()})
    some = logits_of(engine, {'tokens': ids, 'cache': engine.new_cache(), 'logits': [299, 3, 17, 255]})
    assert np.array_equal(some, every[[299, 3, 17, 255]])
    assert np.array_equal(engine.prefill(engine.new_cache(), ids), every[-1])


@pytest.mark.parametrize('precision', ['W4', 'W16A16'])
def test_embeddings_of_ids_equal_the_ids(precision: str) -> None:
    engine = engine_of(precision)
    ids = np.array(random_ids(60, 0))
    embedding = PlainLlama('tiny', precision.partition('A')[0]).embedding
    mixed = np.where(np.arange(60) % 3 == 0, ids, -1)
    expected = logits_of(engine, *({'tokens': part, 'cache': engine.new_cache()} for part in (ids, ids[:5], ids[:7])))
    found = logits_of(engine,
                      {'tokens': mixed, 'cache': engine.new_cache(), 'embeddings': embedding[ids[mixed < 0]]},
                      {'tokens': ids[:5], 'cache': engine.new_cache()},
                      {'tokens': [-1] * 7, 'cache': engine.new_cache(), 'embeddings': embedding[ids[:7]]})
    assert np.array_equal(found, expected)


# --- against a plain reference ----------------------------------------------------------------------------------------

def assert_near(found: Logits, expected: Logits) -> None:
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize('count', [1, 5, 40, 300, 600])
def test_layers_that_are_not_causal_equal_a_plain_reference(count: int) -> None:
    """A sequence that is longer than a pass, too: it cannot be cut."""
    ids = random_ids(count, 0)
    found = logits_of(engine_of('W16A16'), {'tokens': ids})
    assert_near(found, PlainLlama('tiny', 'W16').logits(ids, causal=False))


def test_sequences_that_are_not_causal_do_not_see_each_other() -> None:
    engine = engine_of('W4')
    first, second, causal = random_ids(20, 0), random_ids(290, 1), random_ids(3, 2)
    alone = [logits_of(engine, {'tokens': first}), logits_of(engine, {'tokens': second}),
             logits_of(engine, {'tokens': causal, 'cache': engine.new_cache()})]
    together = logits_of(engine, {'tokens': first}, {'tokens': second},
                         {'tokens': causal, 'cache': engine.new_cache()})
    assert np.array_equal(together, np.concatenate(alone))


@pytest.mark.parametrize(('count', 'spans', 'window'), [
    (40, [(4, 20)], 0), (40, [(0, 10), (10, 25)], 0), (60, [(5, 45)], 16), (400, [(200, 300)], 0),
    (400, [(50, 390)], 0),
])
def test_bidirectional_spans_equal_a_plain_reference(count: int, spans: list[tuple[int, int]], window: int) -> None:
    """Also across the end of a pass of 256 tokens, longer than one, and wider than a window."""
    ids = random_ids(count, 0)
    engine = engine_of('W16A16', windows=[window, 0])
    found = logits_of(engine, {'tokens': ids, 'cache': engine.new_cache(), 'bidirectional': spans})
    assert_near(found, PlainLlama('tiny', 'W16').logits(ids, spans=spans, windows=[window, 0]))


def test_a_span_behind_what_a_cache_holds() -> None:
    engine = engine_of('W16A16')
    ids, cache = random_ids(50, 0), engine.new_cache()
    engine.prefill(cache, ids[:21])
    found = logits_of(engine, {'tokens': ids[21:], 'cache': cache, 'bidirectional': [(2, 12)]})
    assert_near(found, PlainLlama('tiny', 'W16').logits(ids, spans=[(23, 33)])[21:])


def test_windows_of_what_is_not_causal_reach_both_ways() -> None:
    ids = random_ids(300, 0)
    found = logits_of(engine_of('W16A16', windows=[9, 140]), {'tokens': ids})
    assert_near(found, PlainLlama('tiny', 'W16').logits(ids, causal=False, windows=[9, 140]))


def test_positions_of_one_axis_equal_a_plain_reference() -> None:
    engine = engine_of('W16A16')
    ids, positions = random_ids(30, 0), np.random.default_rng(1).integers(0, CONTEXT, 30)
    found = logits_of(engine, {'tokens': ids, 'cache': engine.new_cache(), 'positions': positions})
    assert_near(found, PlainLlama('tiny', 'W16').logits(ids, positions=positions))


def test_positions_of_three_axes_equal_a_plain_reference() -> None:
    axes = [i % 3 for i in range(16)]
    engine = engine_of('W16A16', rope_axes=axes)
    ids, positions = random_ids(30, 0), np.random.default_rng(1).integers(0, CONTEXT, (30, 3))
    found = logits_of(engine, {'tokens': ids, 'cache': engine.new_cache(), 'positions': positions})
    assert_near(found, PlainLlama('tiny', 'W16').logits(ids, positions=positions, axes=axes))
    # One number is the same on every axis.
    text = logits_of(engine, {'tokens': ids, 'cache': engine.new_cache()})
    assert_near(text, PlainLlama('tiny', 'W16').logits(ids))


# --- what is wanted ---------------------------------------------------------------------------------------------------

def test_the_likeliest_tokens_are_those_of_the_logits() -> None:
    engine = engine_of('W4')
    ids = random_ids(20, 0)
    seen, allowed = np.zeros(10, np.uint32), np.full(10, 0x55555555, np.uint32)
    seen[:5] = 0xffffffff
    batch = ForwardBatch()
    batch.add_sequence(random_ids(4, 1), engine.new_cache())
    batch.add_sequence(ids, engine.new_cache(), logits=[19], top_k=[
        (3, 5, 1.0, None, None), (19, 7, 1.5, seen, allowed), (11, VOCAB, 1.0, None, None)])
    result = engine.forward(batch)
    every = logits_of(engine, {'tokens': ids, 'cache': engine.new_cache()})
    assert np.array_equal(result.logits, every[[19]])
    bits = np.unpackbits(seen.view(np.uint8), bitorder='little')[:VOCAB] != 0
    last = every[19].copy()
    last[bits] = np.where(last[bits] > 0, last[bits] / np.float32(1.5), last[bits] * np.float32(1.5))
    last[1::2] = -np.inf
    for (tokens, logits), expected in zip(result.top_k, (every[3], last, every[11]), strict=True):
        order = np.argsort(-expected, kind='stable')[:len(tokens)]
        assert tokens.tolist() == order.tolist() and np.array_equal(logits, expected[order])
    assert [len(tokens) for tokens, _ in result.top_k] == [5, 7, VOCAB]


@pytest.mark.parametrize(('precision', 'kv_cache'), [('W4', 'auto'), ('W4', 'int8'), ('W8', 'auto'), ('W4A8', 'auto'),
                                                     ('W4A16', 'auto')])
@pytest.mark.parametrize(('threads', 'windows'), [(1, [0, 0]), (2, [0, 0]), (2, [50, 0])])
def test_few_tokens_have_the_numbers_that_they_have_one_by_one(precision: str, kv_cache: str, threads: int,
                                                               windows: list[int]) -> None:
    """Guesses are verified this way. Also where a long cache is read in parts, and where these change."""
    engine = engine_of(precision, kv_cache, threads, windows=windows)
    for held in (0, 5, 124, 250, 507, 600):
        ids = random_ids(8, held)
        alone, together = filled(engine, held, 1), filled(engine, held, 1)
        expected = [engine.decode(alone, id_) for id_ in ids]
        beside = {'tokens': random_ids(12, 3), 'cache': filled(engine, 20, 2), 'logits': 'none'}
        assert np.array_equal(logits_of(engine, {'tokens': ids, 'cache': together}, beside), expected)
        # And so have those that come after some were dropped.
        together.truncate(held + 3)
        assert np.array_equal(logits_of(engine, {'tokens': ids[3:], 'cache': together}), expected[3:])


@pytest.mark.parametrize(('precision', 'kv_cache'), [('W4', 'auto'), ('W4', 'int8'), ('W8', 'auto'), ('W4A8', 'auto'),
                                                     ('W4A16', 'auto')])
def test_where_a_prompt_is_cut_does_not_matter(precision: str, kv_cache: str) -> None:
    engine = engine_of(precision, kv_cache)
    ids = random_ids(300, 5)
    whole, pieces = engine.new_cache(), engine.new_cache()
    expected = engine.prefill(whole, ids)
    begin = 0
    for size in (9, 17, 100, 40, 134):
        found = engine.prefill(pieces, ids[begin:begin + size])
        begin += size
    assert np.array_equal(found, expected)
    assert np.array_equal(engine.decode(pieces, 1), engine.decode(whole, 1))


def test_each_sequence_draws_what_it_would_alone() -> None:
    engine = engine_of('W4')
    prompts = [random_ids(count, count) for count in (1, 12, 280)]
    allowed = np.full(10, 0x0f0f0f0f, np.uint32)

    def samplers() -> list[Sampler]:
        return [Sampler(7), Sampler(8, temperature=1.0), Sampler(9, temperature=0.8, top_k=40)]

    alone = [engine.sample(engine.new_cache(), prompt, sampler, allowed)
             for prompt, sampler in zip(prompts, samplers(), strict=True)]
    batch = ForwardBatch()
    for prompt, sampler in zip(prompts, samplers(), strict=True):
        batch.add_sequence(prompt, engine.new_cache(), sampler=sampler, allowed=allowed)
    assert [drawn for (drawn,), _, _ in engine.forward(batch).drawn] == alone


# --- bad input --------------------------------------------------------------------------------------------------------

SHARED = Sampler(1)


@pytest.mark.parametrize(('bad', 'reason'), [
    (lambda engine, held: {'tokens': [1], 'cache': engine_of('W4').new_cache()}, 'belongs to another engine'),
    (lambda engine, held: {'tokens': [1], 'cache': held}, 'the same KV cache'),
    (lambda engine, held: {'tokens': [VOCAB], 'cache': engine.new_cache()}, 'token 300 is outside the vocab'),
    (lambda engine, held: {'tokens': [-1], 'cache': engine.new_cache()}, 'token -1 is outside the vocabulary'),
    (lambda engine, held: {'tokens': [-2], 'cache': engine.new_cache()}, 'token -2 is outside the vocabulary'),
    (lambda engine, held: {'tokens': random_ids(CONTEXT + 1, 0), 'cache': engine.new_cache()}, 'no room for 701 more'),
    (lambda engine, held: {'tokens': random_ids(CONTEXT + 1, 0)}, 'longer than the context of 700'),
    (lambda engine, held: {'tokens': [1], 'cache': engine.new_cache(), 'positions': [CONTEXT]},
     'position 700 is outside the context of 700'),
    (lambda engine, held: {'tokens': [1], 'cache': engine.new_cache(), 'positions': [[1, 2, 1]]},
     'one axis, not three'),
    (lambda engine, held: {'tokens': [-1], 'cache': engine.new_cache(), 'embeddings': np.zeros((1, 95), np.float32)},
     "an embedding has 95 numbers, and the model's embeddings have 96"),
    (lambda engine, held: {'tokens': [1, 2], 'cache': engine.new_cache(), 'bidirectional': [(1, 3)]},
     'outside its tokens'),
    (lambda engine, held: {'tokens': [1, 2], 'cache': engine.new_cache(), 'bidirectional': [(0, 2**31 - 1)]},
     'outside its tokens'),
    (lambda engine, held: {'tokens': [1, 2], 'cache': engine.new_cache(), 'bidirectional': [(-2**31, 1)]},
     'outside its tokens'),
    (lambda engine, held: {'tokens': [1, 2], 'cache': engine.new_cache(), 'bidirectional': [(1, 2), (0, 1)]},
     'not in order'),
    (lambda engine, held: {'tokens': [1, 2], 'bidirectional': [(0, 1)]}, 'only a causal sequence'),
    (lambda engine, held: {'tokens': [1], 'cache': engine.new_cache(), 'top_k': [(0, 0, 1.0, None, None)]},
     'k = 0 is not in 1 … 300'),
    (lambda engine, held: {'tokens': [1], 'cache': engine.new_cache(), 'top_k': [(0, 301, 1.0, None, None)]},
     'k = 301 is not in 1 … 300'),
    (lambda engine, held: {'tokens': [1], 'cache': engine.new_cache(), 'top_k': [(0, 2, float('nan'), None, None)]},
     'not a positive number'),
    (lambda engine, held: {'tokens': [1], 'cache': engine.new_cache(), 'logits': [0, 0]}, 'wanted twice'),
    (lambda engine, held: {'tokens': [1], 'cache': engine.new_cache(), 'sampler': SHARED,
                           'allowed': np.zeros(9, np.uint32)}, 'the mask has fewer bits'),
    (lambda engine, held: {'tokens': [1, 2], 'cache': engine.new_cache(), 'sampler': Sampler(0), 'guesses': 1,
                           'allowed': np.zeros(10, np.uint32)}, 'a mask for each token'),
    (lambda engine, held: {'tokens': [1, 2], 'cache': engine.new_cache(), 'sampler': Sampler(0), 'guesses': 1,
                           'allowed': np.zeros((2, 9), np.uint32)}, 'the mask has fewer bits'),
    (lambda engine, held: {'tokens': [1], 'cache': engine.new_cache(), 'sampler': SHARED}, 'the same sampler'),
])
def test_a_batch_that_is_wrong_changes_no_cache(bad: Any, reason: str) -> None:
    engine = engine_of('W4')
    held = filled(engine, 5, 0)
    batch = ForwardBatch()
    batch.add_sequence([1, 2], held, sampler=SHARED, logits='all')
    batch.add_sequence(**bad(engine, held))
    with pytest.raises(InvalidParameterError, match=reason):
        engine.forward(batch)
    assert [cache.length for cache in batch.caches] == [5] + [0] * (len(batch.caches) - 1) or 'same' in reason
    assert held.length == 5
    assert np.array_equal(engine.decode(held, 1), engine.decode(filled(engine, 5, 0), 1))


@pytest.mark.parametrize(('bad', 'reason'), [
    ({'tokens': []}, 'no tokens'),
    ({'tokens': [1.5]}, 'must be whole numbers'),
    ({'tokens': [[1]]}, 'one row of ids'),
    ({'tokens': [2**32 + 5]}, 'out of range'),
    ({'tokens': [1, -1], 'embeddings': np.zeros((2, 96), np.float32)}, '2 embeddings for 1 tokens of -1'),
    ({'tokens': [-1], 'embeddings': np.zeros(96, np.float32)}, 'float32 .rows, width.'),
    ({'tokens': [1], 'positions': [1, 2]}, r'positions must be whole numbers \[tokens\]'),
    ({'tokens': [1], 'positions': [[1, 2]]}, r'positions must be whole numbers \[tokens\]'),
    ({'tokens': [1], 'positions': [-1]}, 'position -1 is negative'),
    ({'tokens': [1], 'logits': 'some'}, "unknown logits 'some'"),
    ({'tokens': [1], 'logits': [1]}, 'logits of token 1, which the sequence does not have'),
    ({'tokens': [1], 'logits': [-1]}, 'logits of token -1, which the sequence does not have'),
    ({'tokens': [1], 'top_k': [(1, 2, 1.0, None, None)]}, 'top_k of token 1, which the sequence does not have'),
    ({'tokens': [1], 'allowed': np.zeros(10, np.uint32)}, 'and there is none'),
    ({'tokens': [1, 2], 'guesses': 1}, 'and there is none'),
    ({'tokens': [1], 'guesses': 1, 'sampler': SHARED}, 'a token before the guesses'),
    ({'tokens': [1], 'guesses': -1, 'sampler': SHARED}, 'a token before the guesses'),
])
def test_a_sequence_that_is_wrong_is_not_added(bad: dict[str, Any], reason: str) -> None:
    batch = ForwardBatch()
    with pytest.raises(_tinychat.InvalidBatchError, match=reason):
        batch.add_sequence(**bad)
    assert (batch.num_tokens, batch.num_sequences) == (0, 0)


def test_a_batch_without_tokens() -> None:
    with pytest.raises(InvalidParameterError, match='no tokens to decode'):
        engine_of('W4').forward(ForwardBatch())


def test_a_canceled_batch_keeps_whole_passes() -> None:
    engine = engine_of('W4')
    flag = _tinychat.CancelFlag()
    flag.set()
    caches: Sequence[Cache] = [engine.new_cache(), engine.new_cache()]
    batch = ForwardBatch()
    for cache in caches:
        batch.add_sequence(random_ids(5, 0), cache)
    with pytest.raises(_tinychat.Canceled):
        engine.forward(batch, flag)
    assert [cache.length for cache in caches] == [0, 0]
