# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Every family against transformers in float32: prefill, decode, four bits, and long positions."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from families.tiny_models import Logits, MODELS, Reference, VOCAB
import numpy as np
import pytest

from tinychat_core.checkpoint.reader import Checkpoint
from tinychat_core.engine import Engine
from tinychat_core.families import family_of
from tinychat_core.families.config import Config
from tinychat_core.importers import import_model
from tinychat_core.importers.huggingface import read_json

BOUND = 1e-3  # of the reference's largest logit
PROMPT, DECODED = 150, 32  # more than one chunk of a prefill, and more than any window


def tokens(count: int) -> list[int]:
    return np.random.default_rng(0).integers(0, VOCAB, count).tolist()


def error(found: Logits, expected: Logits) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def prefill_and_decode(checkpoint: Path, precision: str) -> Logits:
    """Return the logits of the end of a prompt and after each of the tokens that follow."""
    engine, all_tokens = Engine.open(checkpoint, precision=precision, threads=2), tokens(PROMPT + DECODED)
    cache = engine.new_cache()
    logits = [engine.prefill(cache, all_tokens[:PROMPT])]
    logits += [engine.decode(cache, token) for token in all_tokens[PROMPT:]]
    engine.close()
    return np.stack(logits)


@pytest.mark.parametrize('name', MODELS)
def test_16_bits_equal_the_reference(name: str, tmp_path: Path) -> None:
    reference = Reference(name)
    import_model(str(reference.save(tmp_path / 'model')), tmp_path / 'ours')
    expected = reference.score(tokens(PROMPT + DECODED))[PROMPT - 1:]
    assert error(prefill_and_decode(tmp_path / 'ours', 'W16A16'), expected) <= BOUND


@pytest.mark.parametrize('name', MODELS)
def test_4_bits_equal_the_reference_on_the_same_weights(name: str, tmp_path: Path) -> None:
    reference = Reference(name)
    source = reference.save(tmp_path / 'model')
    import_model(str(source), tmp_path / 'ours', weights='W4', group_size=32)
    before = reference.score(tokens(PROMPT + DECODED))[PROMPT - 1:]
    reference.load(dequantized(tmp_path / 'ours', source, reference))
    expected = reference.score(tokens(PROMPT + DECODED))[PROMPT - 1:]
    assert error(before, expected) > 0.01  # rounding shows
    assert error(prefill_and_decode(tmp_path / 'ours', 'W4A16'), expected) <= BOUND


def dequantized(directory: Path, source: Path, reference: Reference) -> dict[str, Any]:
    """Return what the checkpoint's integers mean, by Hugging Face's names."""
    config = read_json(source, 'config.json')
    family, checkpoint = family_of(config), Checkpoint.open(directory)
    weights = {}
    for ours, theirs in family.names(Config(config)).items():
        for i in range(checkpoint.manifest.model['layers']):
            name = ours.format(i=i)
            entry = checkpoint.manifest.tensors.get(name)
            if entry is None or entry.format not in ('w4z', 'w8g'):
                continue
            values = checkpoint.linear(name).dequantized()
            order = family.row_order.get(name.rpartition('.')[2])
            if order is not None:
                values[order(checkpoint.manifest.model)] = values.copy()
            sources = [theirs] if isinstance(theirs, str) else theirs
            names = [f'{part.format(i=i)}.weight' for part in sources]
            rows = np.cumsum([len(reference.state[part]) for part in names])[:-1]
            weights.update(zip(names, np.split(values, rows), strict=True))
    assert len(weights) > 10
    if checkpoint.manifest.model['tied_head']:
        weights['lm_head.weight'] = weights[next(name for name in weights if 'embed' in name or 'wte' in name)]
    return weights


LONG: Mapping[str, dict[str, Any]] = {
    'llama': {'max_position_embeddings': 8192},
    'llama, rope linear': {'max_position_embeddings': 8192},
    'llama, rope dynamic': {'max_position_embeddings': 8192},
    'llama, rope llama3': {'max_position_embeddings': 8192},
    'llama, rope yarn': {'max_position_embeddings': 8192},
    'phi3, longrope': {'max_position_embeddings': 16384, 'original_max_position_embeddings': 8192},
    'phi3, part of the head': {'max_position_embeddings': 8192},
    'gemma3': {'max_position_embeddings': 8192, 'num_hidden_layers': 6},
    'mpt': {'max_seq_len': 8192},
}


@pytest.mark.parametrize('name', LONG)
def test_positions_beyond_4096(name: str, tmp_path: Path) -> None:
    reference = Reference(name, **{'num_hidden_layers': 2, **LONG[name]})
    import_model(str(reference.save(tmp_path / 'model')), tmp_path / 'ours')
    engine, many = Engine.open(tmp_path / 'ours', precision='W16A16', threads=2), tokens(4200)
    found = engine.score(many)[-64:]
    engine.close()
    assert error(found, reference.score(many)[-64:]) <= BOUND
