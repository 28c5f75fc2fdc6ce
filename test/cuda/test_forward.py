# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The whole CUDA backend against the CPU's, family by family, its kernels in the SIMT shim."""
from __future__ import annotations

from pathlib import Path
import random

from cuda_on_host import LIBRARY
from families.tiny_models import MODELS, Reference, VOCAB
import numpy as np
import numpy.typing as npt
import pytest
import torch

from tinychat_core.engine import Engine
from tinychat_core.importers import import_model
from tinychat_core.loading.native_tensors import native_tensor
from tinychat_core.loading.reader import Checkpoint
from tinychat_core.quantize.method import Method
from tinychat_core.quantize.run import quantize_model

pytestmark = pytest.mark.slow

PROMPT, DECODED = 44, 8  # two chunks of attention, more than a window
# What differs in the forward pass: norms, biases, windows, soft-caps, learned positions, ALiBi, a parallel layer, an
# embedding of another width.
NAMES = ['llama, biases everywhere', 'qwen3', 'phi4 mini, part of the head', 'gemma2', 'gemma3', 'opt, heads of 80',
         'opt 350m', 'opt, no last norm', 'mpt', 'falcon 7b', 'falcon 40b']
BOUND = 2e-2  # of the largest logit, as the precision promises; fp16 activations stay far below it


@pytest.fixture(autouse=True)
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    assert LIBRARY.is_file(), 'build the C++ tests first: make native-tests'
    monkeypatch.setenv('TINYCHAT_CUDA_LIBRARY', str(LIBRARY))


def logits(checkpoint: Path, precision: str, backend: str, prompt: int = PROMPT, decoded: int = DECODED,
           max_seq_len: int = 64, kv_cache: str = 'auto') -> npt.NDArray[np.float32]:
    """Return the logits of the end of a prompt and after each of the tokens that follow."""
    tokens = np.random.default_rng(0).integers(0, VOCAB, prompt + decoded).tolist()
    engine = Engine.open(checkpoint, precision=precision, backend=backend, threads=1, max_seq_len=max_seq_len,
                         kv_cache=kv_cache)
    assert engine.backend == backend
    cache = engine.new_cache()
    found = [engine.prefill(cache, tokens[:prompt])]
    found += [engine.decode(cache, token) for token in tokens[prompt:]]
    engine.close()
    return np.stack(found)


def error(found: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def assert_as_near_as_the_cpu(checkpoint: Path) -> None:
    exact = logits(checkpoint, 'W8A16', 'cpu')
    cuda, cpu = (np.square(logits(checkpoint, 'W8A8', backend) - exact).mean() for backend in ('cuda', 'cpu'))
    assert 0 < cuda < 1.4 * cpu


def imported(name: str, weights: str, directory: Path, dtype: torch.dtype = torch.float16) -> Path:
    source = str(Reference(name).save(directory / 'model', dtype))
    if weights == 'W16':
        import_model(source, directory / 'ours')
    else:
        import_model(source, directory / 'ours', weights=weights, group_size=32)
    return directory / 'ours'


@pytest.mark.parametrize('name', NAMES)
def test_four_bits_equal_the_cpu(name: str, tmp_path: Path) -> None:
    assert name in MODELS
    checkpoint = imported(name, 'W4', tmp_path)
    assert error(logits(checkpoint, 'W4A16', 'cuda'), logits(checkpoint, 'W4A16', 'cpu')) < BOUND / 2


@pytest.mark.parametrize('name', ['llama, biases everywhere', 'gemma2', 'opt, heads of 80', 'opt 350m', 'falcon 7b'])
def test_bytes_are_as_near_as_those_of_the_cpu(name: str, tmp_path: Path) -> None:
    """A number between two bytes becomes either: what is common to both backends is how far they are from floats."""
    assert_as_near_as_the_cpu(imported(name, 'W8', tmp_path))


def test_smoothquant_is_as_near_as_on_the_cpu(tmp_path: Path) -> None:
    """Scales by channel and by token."""
    (tmp_path / 'text.txt').write_text(''.join(random.Random(0).choices('abcdefgh ,.', k=2600)))
    source = str(Reference('llama, biases everywhere').save(tmp_path / 'model'))
    quantize_model(source, tmp_path / 'ours', Method.of('smoothquant'), tmp_path / 'text.txt')
    assert Checkpoint.open(tmp_path / 'ours').manifest.tensors['layers.0.attn.o'].format == 'w8c'
    assert_as_near_as_the_cpu(tmp_path / 'ours')


@pytest.mark.parametrize('name', ['qwen3', 'opt 350m'])
def test_sixteen_bits_equal_the_cpu(name: str, tmp_path: Path) -> None:
    checkpoint = imported(name, 'W16', tmp_path)
    assert error(logits(checkpoint, 'W16A16', 'cuda'), logits(checkpoint, 'W16A16', 'cpu')) < BOUND


def test_a_head_alone_in_bf16_counts(tmp_path: Path) -> None:
    tensors = {}
    for dtype in (torch.bfloat16, torch.float16):
        checkpoint = Checkpoint.open(imported('falcon 40b', 'W16', tmp_path / str(dtype), dtype))
        tensors[dtype] = {name: native_tensor(checkpoint, name) for name in checkpoint.manifest.tensors}
    mixed = {**tensors[torch.float16], 'head': tensors[torch.bfloat16]['head']}
    found, expected = (Engine(checkpoint.manifest.model, mixed, weights='W16', backend=backend).score([1, 2, 3])
                       for backend in ('cuda', 'cpu'))
    assert error(found, expected) < BOUND


# Every size of head, every ratio of heads to KV heads, windows, a soft-cap and ALiBi.
@pytest.mark.parametrize('name', [
    'llama 2, vicuna', 'smollm2', 'mistral, a window', 'qwen3', 'phi3, a window', 'gemma2', 'opt, heads of 80', 'mpt',
    'falcon 7b'])
def test_a_cache_of_bytes_equals_the_cpu(name: str, tmp_path: Path) -> None:
    """Both round to the same bytes: they differ by no more than with floats, too little for another sure choice."""
    checkpoint = imported(name, 'W4', tmp_path)
    found, expected = (logits(checkpoint, 'W4A16', backend, kv_cache='int8') for backend in ('cuda', 'cpu'))
    assert 0 < error(found, expected) < BOUND / 2


def test_a_longer_context_takes_another_record(tmp_path: Path) -> None:
    """From 256 positions on, the cache is read in more parts."""
    checkpoint = imported('qwen3', 'W4', tmp_path)
    found, expected = (logits(checkpoint, 'W4A16', backend, 252, 8, 300) for backend in ('cuda', 'cpu'))
    assert error(found, expected) < BOUND / 4


def test_caches_take_turns(tmp_path: Path) -> None:
    """A record serves every cache: each holds its own conversation."""
    checkpoint = imported('qwen3', 'W4', tmp_path)
    engine = Engine.open(checkpoint, precision='W4A16', backend='cuda', max_seq_len=64)
    caches = [engine.new_cache(), engine.new_cache()]
    for cache, prompt in zip(caches, ([1, 2, 3], [9, 8, 7, 6]), strict=True):
        engine.prefill(cache, prompt)
    turns = [engine.decode(cache, token) for token in (10, 11) for cache in caches]
    alone = []
    for prompt in ([1, 2, 3], [9, 8, 7, 6]):
        cache = engine.new_cache()
        engine.prefill(cache, prompt)
        alone.append([engine.decode(cache, token) for token in (10, 11)])
    assert np.array_equal(turns, [alone[0][0], alone[1][0], alone[0][1], alone[1][1]])


def test_all_logits_of_a_prompt(tmp_path: Path) -> None:
    """They come in parts of 16 rows."""
    checkpoint = imported('qwen3', 'W4', tmp_path)
    tokens = list(range(40))
    found, expected = (Engine.open(checkpoint, precision='W4A16', backend=backend, max_seq_len=64).score(tokens)
                       for backend in ('cuda', 'cpu'))
    assert error(found, expected) < BOUND / 4
