# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Passes through every kernel of two small layers, for compute-sanitizer: small_passes.py PRECISION GROUP_SIZE KV_CACHE.

Tokens are chosen on the device, too. A whole model is more than racecheck ends in minutes.
"""
from __future__ import annotations

import sys

import numpy as np

from tinychat_core._tinychat import Sampler
from tinychat_core.bench import shapes
from tinychat_core.engine import Engine


def main(precision: str, group_size: str, kv_cache: str) -> None:
    """Read a prompt of more than a tile, decode tokens before and with a graph, read a few together."""
    two_layers = {'model_type': 'llama', 'vocab_size': 2000, 'hidden_size': 512, 'intermediate_size': 1408,
                  'num_hidden_layers': 2, 'num_attention_heads': 8, 'num_key_value_heads': 2,
                  'max_position_embeddings': 512, 'rms_norm_eps': 1e-5}
    shapes._SHAPES['two-layers'] = shapes._Shape(two_layers, int(group_size))
    weights = precision.split('A')[0]
    listed = shapes.manifest('two-layers', weights)
    engine = Engine(listed.model, shapes.random_tensors(listed), weights=weights, precision=precision, backend='cuda',
                    kv_cache=kv_cache)
    cache = engine.new_cache()
    engine.prefill(cache, range(70))
    for token in range(4):
        engine.decode(cache, token)
    engine.prefill(cache, range(5))
    sampler = Sampler(0, temperature=1.0, top_k=40, repetition_penalty=1.1)
    allowed = np.full(-(-engine.vocab_size // 32), 0x55555555, np.uint32)
    for _ in range(4):
        sampler.accept(engine.sample(cache, [1], sampler, allowed))
    print(f'{precision}, groups of {group_size}, cache {engine.kv_cache}: {cache.length} positions')


if __name__ == '__main__':
    main(*sys.argv[1:])
