# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Known shapes on random weights made in place: speed does not depend on what the weights say."""
from __future__ import annotations

from typing import Any

import numpy as np

# vocabulary, width, feed-forward width, layers, heads, KV heads, context, group size, whether the head is tied
_SHAPES: dict[str, tuple[int, int, int, int, int, int, int, int, bool]] = {
    'smollm2-135m': (49152, 576, 1536, 30, 9, 3, 8192, 32, True),
    'llama-2-7b': (32000, 4096, 11008, 32, 32, 32, 4096, 128, False),
    'llama-2-13b': (32000, 5120, 13824, 40, 40, 40, 4096, 128, False),
}

SHAPES = tuple(_SHAPES)


def description(name: str) -> dict[str, Any]:
    """Return the shape's model description, as a family would make it; KeyError for an unknown name."""
    vocab, hidden, intermediate, layers, heads, kv_heads, context, _, tied = _SHAPES[name]
    return {'vocab_size': vocab, 'hidden_size': hidden, 'intermediate_size': intermediate, 'layers': layers,
            'heads': heads, 'kv_heads': kv_heads, 'head_dim': hidden // heads, 'context_length': context,
            'norm': 'rms', 'norm_eps': 1e-5, 'activation': 'silu', 'gated': True,
            'rope': {'theta': 10000.0, 'dim': hidden // heads}, 'tied_head': tied}


def random_tensors(name: str, weights: str, seed: int = 0) -> dict[str, Any]:
    """
    Return the shape's tensors as `Engine` takes them: `weights` is 'W4' (W8 embedding and head), 'W8' or 'W16'.

    Integers lie in the layout r16k4, 16-bit numbers in r16k1, as in a checkpoint.
    """
    model = description(name)
    group = _SHAPES[name][7]
    random = np.random.default_rng(seed)
    hidden, intermediate = model['hidden_size'], model['intermediate_size']
    qkv = (model['heads'] + 2 * model['kv_heads']) * model['head_dim']

    def matrix(kind: str, rows: int, cols: int) -> dict[str, Any]:
        tiles = -(-rows // 16)
        if kind == 'W16':
            weight = np.full((tiles, cols, 16), 1e-3, dtype=np.float16)
            return {'format': 'f16', 'rows': rows, 'cols': cols, 'weight': weight}
        size = group if kind == 'W4' else 32
        nbytes = tiles * 16 * cols // (2 if kind == 'W4' else 1)
        tensor: dict[str, Any] = {
            'format': 'w4m' if kind == 'W4' else 'w8g', 'rows': rows, 'cols': cols, 'group_size': size,
            'weight': random.integers(0, 1 << 63, -(-nbytes // 8), dtype=np.int64).view(np.uint8)[:nbytes],
            'scales': np.full((tiles, cols // size, 16), 1e-3, dtype=np.float16)}
        if kind == 'W4':
            tensor['mins'] = np.full((tiles, cols // size, 16), -8e-3, dtype=np.float16)
        return tensor

    edge = 'W16' if weights == 'W16' else 'W8'
    tensors: dict[str, Any] = {'embedding': matrix(edge, model['vocab_size'], hidden),
                               'norm.weight': np.ones(hidden, dtype=np.float32)}
    if not model['tied_head']:
        tensors['head'] = matrix(edge, model['vocab_size'], hidden)
    for i in range(model['layers']):
        layer = f'layers.{i}.'
        tensors[layer + 'attn_norm.weight'] = np.ones(hidden, dtype=np.float32)
        tensors[layer + 'mlp_norm.weight'] = np.ones(hidden, dtype=np.float32)
        tensors[layer + 'attn.qkv'] = matrix(weights, qkv, hidden)
        tensors[layer + 'attn.o'] = matrix(weights, hidden, model['heads'] * model['head_dim'])
        tensors[layer + 'mlp.gate_up'] = matrix(weights, 2 * intermediate, hidden)
        tensors[layer + 'mlp.down'] = matrix(weights, hidden, intermediate)
    return tensors
