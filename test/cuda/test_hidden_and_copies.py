# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Hidden states and copies of a KV cache on CUDA's backend, its kernels in the SIMT shim."""
from __future__ import annotations

from pathlib import Path

from cuda_on_host import LIBRARY
from families.tiny_models import Reference, VOCAB
import numpy as np
import pytest
import torch

from tinychat_core.engine import Engine, ForwardBatch
from tinychat_core.importers import import_model

pytestmark = pytest.mark.slow
TOKENS = np.random.default_rng(0).integers(0, VOCAB, 24).tolist()


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp('qwen3')
    import_model(str(Reference('qwen3').save(directory / 'model', torch.float16)), directory / 'ours')
    return directory / 'ours'


def engine_of(checkpoint: Path, backend: str, monkeypatch: pytest.MonkeyPatch, kv_cache: str = 'auto') -> Engine:
    assert LIBRARY.is_file(), 'build the C++ tests first: make native-tests'
    monkeypatch.setenv('TINYCHAT_CUDA_LIBRARY', str(LIBRARY))
    return Engine.open(checkpoint, precision='W16A16', backend=backend, threads=1, max_seq_len=64, kv_cache=kv_cache)


def test_hidden_states_are_those_of_the_cpu(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for backend in ('cpu', 'cuda'):
        engine = engine_of(checkpoint, backend, monkeypatch)
        for _ in range(3):  # a pass that is repeated would become a graph
            batch = ForwardBatch()
            batch.add_sequence(TOKENS[:5], engine.new_cache(), hidden=[4, 1], logits='last')
            result = engine.forward(batch)
        found.append(result.hidden)
        assert result.logits.shape == (1, VOCAB)
        engine.close()
    assert np.abs(found[0] - found[1]).max() < 2e-2 * np.abs(found[0]).max()


@pytest.mark.parametrize('kv_cache', ['auto', 'int8'])
def test_a_copy_goes_on_as_the_cache_does(checkpoint: Path, monkeypatch: pytest.MonkeyPatch, kv_cache: str) -> None:
    engine = engine_of(checkpoint, 'cuda', monkeypatch, kv_cache)
    source, copy = engine.new_cache(), engine.new_cache()
    engine.prefill(source, TOKENS)
    copy.copy_prefix(source, 17)
    source.truncate(17)
    assert copy.length == 17
    assert np.array_equal(engine.decode(copy, 3), engine.decode(source, 3))
    engine.close()
