# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""How far the native decoder is from transformers in float32, for a model of `tiny_models`."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from families.tiny_models import Logits, Reference, VOCAB
import numpy as np

from tinychat_core.engine import Engine
from tinychat_core.families import family_of
from tinychat_core.families.hf_config import HfConfig
from tinychat_core.importers import import_model
from tinychat_core.importers.huggingface import in_file, read_json
from tinychat_core.loading.reader import Checkpoint

BOUND = 1e-3  # of the reference's largest logit
PROMPT, DECODED = 150, 32  # longer than any sliding window below
LONG = 4200

# What reaches beyond position 4096, and how: rotary positions of each kind, learned ones, ALiBi, windows. Narrow, to be
# quick.
_NARROW = {'hidden_size': 96, 'num_hidden_layers': 2}
LONG_CONTEXTS: Mapping[str, dict[str, Any]] = {
    'llama 3': {**_NARROW, 'max_position_embeddings': 8192},
    'llama 3.1, rope llama3': {**_NARROW, 'max_position_embeddings': 8192},
    'llama, rope linear': {**_NARROW, 'max_position_embeddings': LONG // 4},
    'llama, rope dynamic': {**_NARROW, 'max_position_embeddings': LONG // 4},
    'llama, rope yarn': {**_NARROW, 'max_position_embeddings': 64, 'rope_scaling': {
        'rope_type': 'yarn', 'factor': 128.0}},
    'phi3, longrope': {**_NARROW, 'max_position_embeddings': 16384, 'original_max_position_embeddings': 4096},
    'phi4 mini, part of the head': {**_NARROW, 'max_position_embeddings': 8192},
    'mistral, a window': {**_NARROW, 'max_position_embeddings': 8192, 'sliding_window': 4100},
    'gemma3': {'max_position_embeddings': 8192},
    'gemma3, rope linear': {'max_position_embeddings': 8192},
    'opt 350m': {'max_position_embeddings': 8192},
    'mpt': {'d_model': 96, 'n_layers': 2, 'max_seq_len': 8192},
}


def tokens(count: int) -> list[int]:
    """Return random tokens, always the same."""
    return np.random.default_rng(0).integers(0, VOCAB, count).tolist()


def error(found: Logits, expected: Logits) -> float:
    """Return max|Δ| as a part of max|expected|, the worst of all positions [n, vocab]."""
    return float((np.abs(found - expected).max(axis=1) / np.abs(expected).max(axis=1)).max())


def prefill_and_decode(checkpoint: Path, precision: str, prompt: int = PROMPT, decoded: int = DECODED) -> Logits:
    """Return the logits [1 + decoded, vocab] of the end of a prompt and after each of the tokens that follow."""
    count = prompt + decoded
    engine = Engine.open(checkpoint, precision=precision, threads=2, max_seq_len=count)
    cache, all_tokens = engine.new_cache(), tokens(count)
    logits = [engine.prefill(cache, all_tokens[:prompt])]
    logits += [engine.decode(cache, token) for token in all_tokens[prompt:]]
    engine.close()
    return np.stack(logits)


def errors_in_16_bits(name: str, directory: Path) -> tuple[float, float]:
    """Return the errors of a prefill and of the worst decoded token, W16A16."""
    reference = Reference(name)
    import_model(str(reference.save(directory / 'model')), directory / 'ours')
    expected = reference.score(tokens(PROMPT + DECODED))[PROMPT - 1:]
    found = prefill_and_decode(directory / 'ours', 'W16A16')
    return error(found[:1], expected[:1]), error(found[1:], expected[1:])


def errors_in_4_bits(name: str, directory: Path) -> tuple[float, float, float]:
    """Return the errors of W4A16 and W4A8 on the weights that the integers mean, and what rounding to them did."""
    reference = Reference(name)
    source = reference.save(directory / 'model')
    import_model(str(source), directory / 'ours', weights='W4', group_size=32)
    before = reference.score(tokens(PROMPT + DECODED))[PROMPT - 1:]
    reference.load(dequantized(directory / 'ours', source, reference))
    expected = reference.score(tokens(PROMPT + DECODED))[PROMPT - 1:]
    floats, bytes_ = (prefill_and_decode(directory / 'ours', precision) for precision in ('W4A16', 'W4A8'))
    return error(floats, expected), error(bytes_, expected), error(before, expected)


def error_at_long_positions(name: str, directory: Path) -> float:
    """Return the error of a prefill and eight decoded tokens beyond position 4096, W16A16."""
    quick = 'eager' if name == 'mpt' else 'sdpa'  # transformers has no other attention with ALiBi
    reference = Reference(name, quick, **LONG_CONTEXTS[name])
    import_model(str(reference.save(directory / 'model')), directory / 'ours')
    found = prefill_and_decode(directory / 'ours', 'W16A16', LONG - 8, 8)
    return error(found, reference.score(tokens(LONG))[LONG - 9:])


def dequantized(directory: Path, source: Path, reference: Reference) -> dict[str, Any]:
    """Return what the checkpoint's integers mean, by Hugging Face's names."""
    config = read_json(source, 'config.json')
    family, checkpoint = family_of(config), Checkpoint.open(directory)
    weights = {}
    for ours, theirs in in_file(family.names(HfConfig(config)), reference.state.keys()).items():
        for i in range(checkpoint.manifest.model.layers):
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
    if checkpoint.manifest.model.tied_head:
        weights['lm_head.weight'] = weights[next(name for name in weights if 'embed' in name or 'wte' in name)]
    return weights
