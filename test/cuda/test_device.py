# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""On a CUDA device: every family against the CPU and transformers, a real model, the same bits twice."""
from __future__ import annotations

from pathlib import Path
from typing import Any

from families.tiny_models import MODELS, Reference, VOCAB
import numpy as np
import pytest
from test_forward import assert_as_near_as_the_cpu, error, imported, logits
import torch
import transformers

from tinychat_core._tinychat import Sampler
from tinychat_core.engine import Engine
from tinychat_core.importers import import_model
from tinychat_core.sampling import SamplingParams

pytestmark = pytest.mark.gpu

BOUND = 2e-2
PROMPT, DECODED = 150, 32


@pytest.mark.parametrize('name', MODELS)
@pytest.mark.parametrize(('weights', 'precision'), [('W4', 'W4A16'), ('W8', 'W8A16'), ('W16', 'W16A16')])
def test_families_equal_the_cpu(name: str, weights: str, precision: str, tmp_path: Path) -> None:
    checkpoint = imported(name, weights, tmp_path)
    found, expected = (logits(checkpoint, precision, backend, PROMPT, DECODED, 200) for backend in ('cuda', 'cpu'))
    assert error(found, expected) < BOUND


@pytest.mark.parametrize('name', MODELS)
def test_bytes_are_as_near_as_those_of_the_cpu(name: str, tmp_path: Path) -> None:
    assert_as_near_as_the_cpu(imported(name, 'W8', tmp_path))


@pytest.mark.parametrize('name', MODELS)
def test_families_equal_transformers(name: str, tmp_path: Path) -> None:
    reference = Reference(name)
    tokens = np.random.default_rng(0).integers(0, VOCAB, PROMPT + DECODED).tolist()
    found = logits(imported(name, 'W16', tmp_path), 'W16A16', 'cuda', PROMPT, DECODED, 200)
    assert error(found, reference.score(tokens)[PROMPT - 1:]) < BOUND


@pytest.mark.parametrize('name', MODELS)
def test_bf16_is_as_near_as_that_of_transformers(name: str, tmp_path: Path) -> None:
    reference = Reference(name)
    tokens = np.random.default_rng(0).integers(0, VOCAB, PROMPT + DECODED).tolist()
    expected = reference.score(tokens)[PROMPT - 1:]
    found = logits(imported(name, 'W16', tmp_path, torch.bfloat16), 'W16A16', 'cuda', PROMPT, DECODED, 200)
    assert error(found, expected) < error(reference.score(tokens, torch.bfloat16)[PROMPT - 1:], expected)


def test_a_whole_model_is_nearer_than_transformers_in_fp16(tmp_path: Path) -> None:
    """All layers of SmolLM2-135M's shape on random weights, on the same device; the residual stream here is fp32."""
    reference = Reference('smollm2', num_hidden_layers=30, intermediate_size=1536)
    source = reference.save(tmp_path / 'model', torch.float16)
    import_model(str(source), tmp_path / 'ours')
    tokens = np.random.default_rng(0).integers(0, VOCAB, PROMPT + DECODED).tolist()
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    theirs = transformers.AutoModelForCausalLM.from_pretrained(source, dtype=torch.float16).to(device)
    with torch.inference_mode():
        expected = theirs(torch.tensor([tokens], device=device)).logits[0].float().cpu().numpy()
    found = Engine.open(tmp_path / 'ours', backend='cuda', max_seq_len=200).score(tokens)
    exact = reference.score(tokens)
    assert error(found, exact) < error(expected, exact)


def test_greedy_tokens_equal_the_cpu(smollm2_checkpoint: Path) -> None:
    """Wherever the likeliest two are farther apart than the bound."""
    engines = [Engine.open(smollm2_checkpoint, 'W4A16', backend, max_seq_len=512) for backend in ('cpu', 'cuda')]
    caches = [engine.new_cache() for engine in engines]
    tokens = engines[0].tokenizer.encode_chat([{'role': 'user', 'content': 'Why do robots need maps?'}])
    for _ in range(100):
        expected, found = (engine.prefill(cache, tokens) for engine, cache in zip(engines, caches, strict=True))
        second, first = np.sort(expected)[-2:]
        if first - second > 2 * BOUND * np.abs(expected).max():
            assert found.argmax() == expected.argmax()
        tokens = [int(expected.argmax())]


@pytest.mark.parametrize('settings', [
    {}, {'temperature': 0.8, 'top_k': 40, 'top_p': 0.95, 'repetition_penalty': 1.2}], ids=['greedy', 'drawn'])
def test_tokens_chosen_on_the_device_are_those_of_the_row(settings: dict[str, Any], smollm2_checkpoint: Path) -> None:
    engine = Engine.open(smollm2_checkpoint, 'W4A16', 'cuda', max_seq_len=256)
    allowed = np.full(-(-engine.vocab_size // 32), 0xfffffffe, np.uint32)
    on_device, of_row = Sampler(3, **settings), Sampler(3, **settings)
    caches = engine.new_cache(), engine.new_cache()
    tokens = engine.tokenizer.encode('The robot')
    for _ in range(60):
        chosen = engine.sample(caches[0], tokens, on_device, allowed)
        assert chosen == of_row.sample(engine.prefill(caches[1], tokens), allowed)
        on_device.accept(chosen)
        of_row.accept(chosen)
        tokens = [chosen]


def test_a_cache_of_bytes_is_as_near_as_the_cpus(smollm2_checkpoint: Path) -> None:
    tokens = list(range(100, 400))
    exact = Engine.open(smollm2_checkpoint, 'W4A16', 'cpu', max_seq_len=512)
    expected = exact.prefill(exact.new_cache(), tokens)
    found = {}
    for backend in ('cpu', 'cuda'):
        engine = Engine.open(smollm2_checkpoint, 'W4A16', backend, max_seq_len=512, kv_cache='int8')
        found[backend] = error(engine.prefill(engine.new_cache(), tokens), expected)
    assert found['cuda'] < found['cpu'] + BOUND / 4


def test_the_same_bits_twice(smollm2_checkpoint: Path) -> None:
    engine = Engine.open(smollm2_checkpoint, 'W4A16', 'cuda', max_seq_len=1024)
    prompt = list(range(600))
    runs = []
    for _ in range(3):
        cache = engine.new_cache()
        runs.append([engine.prefill(cache, prompt), *(engine.decode(cache, token) for token in range(20))])
    assert np.array_equal(runs[0], runs[1]) and np.array_equal(runs[0], runs[2])


def test_a_conversation_reaches_the_end_of_the_context(smollm2_checkpoint: Path) -> None:
    engine = Engine.open(smollm2_checkpoint, backend='cuda', max_seq_len=300)
    answer = list(engine.generate(list(range(250)), SamplingParams(max_new_tokens=500)))
    assert answer[-1].finish_reason in ('length', 'stop')
