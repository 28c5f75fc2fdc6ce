# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A KV cache of bytes through the engine: half of the memory, nearly the same logits."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import small_checkpoint as small

from tinychat_core.bench import shapes
from tinychat_core.checkpoint.manifest import Manifest
from tinychat_core.engine import Engine
from tinychat_core.errors import DoesNotFitError, InvalidParameterError
from tinychat_core.loading.memory_plan import plan, Request

TOKENS = [(7 * i) % 250 for i in range(60)]


@pytest.fixture(scope='module')
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.write(tmp_path_factory.mktemp('kv') / 'small')


@pytest.mark.parametrize(('precision', 'bound'), [('W4A16', 1e-2), ('W4A8', 3e-2)])
def test_bytes_come_close_to_floats(directory: Path, precision: str, bound: float) -> None:
    floats, rounded = [Engine.open(directory, precision, threads=1, kv_cache=kv_cache).score(TOKENS)
                       for kv_cache in ('auto', 'int8')]
    assert 0 < np.linalg.norm(floats - rounded) < bound * np.linalg.norm(floats)


def test_channels_that_a_bias_makes_large_leave_the_others_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    As in Qwen's first layers, where the bias of a few channels of the keys is a hundred times the rest.

    One scale for a whole head would be wrong by half as much again (0.0155, tried out), one for 32 channels by 0.0105.
    """
    monkeypatch.setitem(shapes._SHAPES, 'qwen, two layers', shapes._Shape({
        'model_type': 'qwen2', 'vocab_size': 1000, 'hidden_size': 512, 'intermediate_size': 512,
        'num_hidden_layers': 2, 'num_attention_heads': 4, 'num_key_value_heads': 2, 'max_position_embeddings': 128,
        'rms_norm_eps': 1e-6, 'rope_theta': 1e6, 'tie_word_embeddings': True}, biases=('qkv',)))
    listed = shapes.manifest('qwen, two layers', 'W16')
    tensors = shapes.random_tensors(listed)
    for layer in range(2):
        bias = np.random.default_rng(2).normal(0, 0.5, 8 * 128).astype(np.float32)
        keys = bias[4 * 128:6 * 128].reshape(2, 128)
        keys[:, 3] += 60
        keys[:, 69] -= 45
        tensors[f'layers.{layer}.attn.qkv.bias'] = bias
    tokens = np.random.default_rng(1).integers(0, 1000, 100).tolist()
    floats, rounded = (Engine(listed.model, tensors, weights='W16', threads=1, kv_cache=kv_cache).score(tokens)
                       for kv_cache in ('auto', 'int8'))
    assert 0 < np.linalg.norm(floats - rounded) < 0.013 * np.linalg.norm(floats)


@pytest.mark.parametrize('precision', ['W4', 'W4A8', 'W4A16'])
def test_numbers_that_are_none_go_with_the_tokens_that_made_them(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str) -> None:
    """Also beside the last position, where a pair of values is read at once."""
    matrix = small.matrix

    def damaged(name: str) -> small.Linear:
        made = matrix(name)
        if name == 'embedding':
            made.weight[200] = np.nan
        return made

    monkeypatch.setattr(small, 'matrix', damaged)
    engine = Engine.open(small.write(tmp_path / 'small'), precision, threads=1)
    cache, fresh = engine.new_cache(), engine.new_cache()
    for one in (cache, fresh):
        engine.prefill(one, TOKENS[:4])
    assert np.isnan(engine.prefill(cache, [200, 200])).all()
    cache.truncate(4)
    assert np.array_equal(engine.decode(cache, 7), engine.decode(fresh, 7))


@pytest.mark.parametrize('kv_cache', ['auto', 'int8'])
@pytest.mark.parametrize('precision', ['W4A8', 'W4A16'])
def test_decoding_equals_prefilling(directory: Path, precision: str, kv_cache: str) -> None:
    engine = Engine.open(directory, precision, threads=1, kv_cache=kv_cache)
    scored, cache = engine.score(TOKENS), engine.new_cache()
    for token, expected in zip(TOKENS, scored, strict=True):
        assert np.array_equal(engine.decode(cache, token), expected)


@pytest.mark.parametrize('kv_cache', ['auto', 'int8'])
def test_sixteen_bits_come_close_to_floats_in_every_way(directory: Path, kv_cache: str) -> None:
    """Few tokens and many are multiplied in different ways, over a cache that either may have written."""
    floats = Engine.open(directory, 'W4A16', threads=1, kv_cache=kv_cache).score(TOKENS)
    engine = Engine.open(directory, threads=1, kv_cache=kv_cache)
    assert engine.precision == 'W4'
    many, one_by_one, mixed = (engine.new_cache() for _ in range(3))
    engine.prefill(mixed, TOKENS[:30])
    for i, token in enumerate(TOKENS):
        decoded = engine.decode(one_by_one, token)
        assert np.linalg.norm(decoded - floats[i]) < 4e-2 * np.linalg.norm(floats[i])
        if i >= 30:
            mended = engine.decode(mixed, token)
            assert np.linalg.norm(mended - floats[i]) < 4e-2 * np.linalg.norm(floats[i])
    found = engine.prefill(many, TOKENS)
    assert 0 < np.linalg.norm(found - floats[-1]) < 4e-2 * np.linalg.norm(floats[-1])
    assert np.linalg.norm(engine.score(TOKENS) - floats) < 4e-2 * np.linalg.norm(floats)


def test_a_cut_cache_forgets(directory: Path) -> None:
    engine = Engine.open(directory, 'W4A8', threads=1, kv_cache='int8')
    cache = engine.new_cache()
    engine.prefill(cache, TOKENS)
    cache.truncate(20)
    assert np.array_equal(engine.prefill(cache, [9, 8]), engine.score([*TOKENS[:20], 9, 8])[-1])


def test_the_memory_is_what_the_plan_says(directory: Path) -> None:
    engine = Engine.open(directory, threads=1, kv_cache='int8')
    assert engine.kv_cache == 'int8'
    # The cache is made in whole chunks of 128 positions.
    assert engine.new_cache().bytes == engine.kv_cache_bytes * 128 // engine.context_length


def test_what_there_is_not(directory: Path) -> None:
    with pytest.raises(InvalidParameterError, match="unknown kv_cache 'fp8'; use auto or int8"):
        Engine.open(directory, kv_cache='fp8')


def test_a_context_that_has_no_room_is_refused(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('tinychat_core.opening.available_memory', lambda: 100_000)
    with pytest.raises(DoesNotFitError, match='0 MiB may be used'):
        Engine.open(directory, max_seq_len=64)


def test_without_a_wish_the_context_is_what_fits(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine.open(directory, precision='W4A16', threads=1)
    position = engine.kv_cache_bytes // engine.context_length
    whole = engine.context_length
    monkeypatch.setattr('tinychat_core.loading.memory_plan._SHORTEST', 16)
    total = plan(Manifest.read(directory), None, Request('W4A16')).total_bytes
    monkeypatch.setattr('tinychat_core.opening.available_memory', lambda: total - 10 * position)
    assert Engine.open(directory, precision='W4A16', threads=1).context_length == whole - 10


def test_more_than_is_left_may_be_used_where_that_is_said(directory: Path, monkeypatch: pytest.MonkeyPatch,
                                                          caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr('tinychat_core.opening.available_memory', lambda: 100_000)
    monkeypatch.setattr('tinychat_core.opening.free_swap', lambda: 3 << 30)
    with pytest.raises(DoesNotFitError) as caught:
        Engine.open(directory, max_seq_len=64)
    assert str(caught.value).endswith('if more than the free memory may be used (3,072 MiB of swap are free and not '
                                      'counted), set the limit with `memory`')
    assert Engine.open(directory, max_seq_len=64, memory=1 << 30).context_length == 64
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == 'WARNING']
    assert 'as `memory` allows, but only 0 MiB are free' in warning


def test_less_than_is_left_may_be_used(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(DoesNotFitError) as caught:
        Engine.open(directory, max_seq_len=64, memory=100_000)
    assert 'set the limit' not in str(caught.value)
    Engine.open(directory, max_seq_len=64, memory=1 << 30)
    assert not [record for record in caplog.records if record.levelname == 'WARNING']


def test_caches_of_long_and_short_sequences_take_what_their_tokens_need(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not paged, and yet at most 10% more: memory is provided page by page where a cache is written."""
    monkeypatch.setitem(shapes._SHAPES, 'deep', shapes._Shape({
        'model_type': 'llama', 'vocab_size': 300, 'hidden_size': 64, 'intermediate_size': 64, 'num_hidden_layers': 6,
        'num_attention_heads': 6, 'num_key_value_heads': 6, 'head_dim': 64, 'max_position_embeddings': 2048,
        'rms_norm_eps': 1e-5}, group_size=32))
    listed = shapes.manifest('deep', 'W4')
    engine = Engine(listed.model, shapes.random_tensors(listed), weights='W4', threads=1)
    engine.prefill(engine.new_cache(), [1] * 256)  # the buffers of a pass
    caches, lengths = [engine.new_cache() for _ in range(4)], (1500, 100, 200, 50)

    def anonymous_bytes() -> int:
        lines = Path('/proc/self/status').read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith('RssAnon'))

    before = anonymous_bytes()
    for cache, length in zip(caches, lengths, strict=True):
        engine.prefill(cache, [1] * length)
    needed = sum(lengths) * engine.kv_cache_bytes // engine.context_length
    assert needed <= anonymous_bytes() - before <= 1.1 * needed
