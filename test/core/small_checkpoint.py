# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
A checkpoint of a tiny LLaMA whose numbers come from formulas, in every weight format.

The golden checkpoints are made by it (`python small_checkpoint.py OUT`) and held to the formulas for ever.
"""
from __future__ import annotations

from collections.abc import Callable
import json
from pathlib import Path
import sys
from typing import Any

import numpy as np

from tinychat_core.checkpoint.linear import Linear
from tinychat_core.checkpoint.model_config import ModelConfig
from tinychat_core.checkpoint.writer import CheckpointWriter, Content

MODEL = ModelConfig.from_json({
    'vocab_size': 270, 'hidden_size': 64, 'intermediate_size': 96, 'layers': 2, 'heads': 3, 'kv_heads': 1,
    'head_dim': 32, 'context_length': 64, 'norm': 'rms', 'norm_eps': 1e-5, 'activation': 'silu',
    'gated': True, 'rope': {'theta': 10000.0, 'dim': 32}, 'tied_head': False, 'bos_token_id': None,
    'eos_token_ids': [256],
})
# Name -> format, rows, columns, group size.
MATRICES = {
    'embedding': ('f16', 270, 64, 0),
    'layers.0.attn.qkv': ('w4m', 160, 64, 32), 'layers.0.attn.o': ('w4z', 64, 96, 32),
    'layers.0.mlp.gate_up': ('w8g', 192, 64, 32), 'layers.0.mlp.down': ('w8c', 64, 96, 0),
    'layers.1.attn.qkv': ('bf16', 160, 64, 0), 'layers.1.attn.o': ('f16', 64, 96, 0),
    'layers.1.mlp.gate_up': ('w4z', 192, 64, 64), 'layers.1.mlp.down': ('w4m', 64, 96, 96),
    'head': ('w8g', 270, 64, 64),
}
VECTORS = {
    'layers.0.attn_norm.weight': 64, 'layers.0.mlp_norm.weight': 64, 'layers.0.attn.qkv.bias': 160,
    'layers.0.mlp.down.input_scale': 96, 'layers.1.attn_norm.weight': 64, 'layers.1.mlp_norm.weight': 64,
    'norm.weight': 64,
}


def matrix(name: str) -> Linear:
    """Return a matrix of MATRICES; in each format every number that occurs is exact."""
    format_, rows, cols, group_size = MATRICES[name]
    row, col = np.arange(rows)[:, None], np.arange(cols)[None, :]
    if format_ in ('f16', 'bf16'):
        values = ((row * 7 + col * 3) % 33 - 16).astype(np.float32) / 64  # few enough digits for bf16
        bits = values.view(np.uint32)
        weight = values.astype(np.float16) if format_ == 'f16' else (bits >> 16).astype(np.uint16)
        return Linear(format_, rows, cols, 0, None, weight)
    group = np.arange(cols // group_size if group_size else 1)[None, :]
    scales = (1 + (row + group) % 5) / 256
    if format_ in ('w8g', 'w8c'):
        q = ((row * 5 + col * 11) % 31 - 15).astype(np.int8)
        return Linear(format_, rows, cols, group_size, None, q,
                      scales.astype(np.float16 if format_ == 'w8g' else np.float32))
    q = ((row * 5 + col * 3) % 16).astype(np.uint8)
    zeros = ((row + group) % 16).astype(np.uint8) if format_ == 'w4z' else None
    mins = (-(row + group) % 7 / 64 - 0.03125).astype(np.float16) if format_ == 'w4m' else None
    return Linear(format_, rows, cols, group_size, None, q, scales.astype(np.float16), mins, zeros)


def vector(name: str) -> Any:
    """Return a vector of VECTORS."""
    size = VECTORS[name]
    return (1 + np.arange(size) % 9 / 16).astype(np.float32) * (0.125 if name.endswith('bias') else 1)


def write(out: Path, layout: str | None = None, between: Callable[[int], None] = lambda index: None,
          shard_size: int = 0) -> Path:
    """Write the checkpoint; `between` is called before each part with its number."""
    def content(index: int, prefix: str) -> Callable[[], Content]:
        def made() -> Content:
            between(index)
            names = [name for name in [*MATRICES, *VECTORS] if name.startswith(prefix)]
            return {name: matrix(name) if name in MATRICES else vector(name) for name in names}

        return made

    prefixes: list[Any] = ['embedding', 'layers.0.', 'layers.1.', ('head', 'norm')]
    with CheckpointWriter(out, len(prefixes), {'file': 'formulas'}, layout, shard_size) as writer:
        for index, prefix in enumerate(prefixes):
            writer.add(content(index, prefix))
        writer.finish(family='llama', model=MODEL, files={
            'config.json': b'{"model_type": "llama"}', 'tokenizer.json': json.dumps(tokenizer()).encode(),
            'tokenizer_config.json': b'{"eos_token": "<|end|>"}'})
    return out


def tokenizer() -> dict[str, Any]:
    """Return a tokenizer.json of the 256 bytes and an end token."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    letters = {**{byte: chr(byte) for byte in plain}, **{byte: chr(256 + i) for i, byte in enumerate(others)}}
    byte_level = {'type': 'ByteLevel', 'add_prefix_space': False, 'trim_offsets': True, 'use_regex': True}
    return {'version': '1.0', 'truncation': None, 'padding': None, 'normalizer': None, 'post_processor': None,
            'pre_tokenizer': byte_level, 'decoder': byte_level,
            'added_tokens': [{'id': 256, 'content': '<|end|>', 'single_word': False, 'lstrip': False,
                              'rstrip': False, 'normalized': False, 'special': True}],
            'model': {'type': 'BPE', 'vocab': {**{letters[i]: i for i in range(256)}, '<|end|>': 256},
                      'merges': []}}


if __name__ == '__main__':
    write(Path(sys.argv[1]))
