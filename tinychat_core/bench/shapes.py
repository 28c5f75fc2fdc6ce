# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Shapes of known models with random weights: speed does not depend on the values of the weights.

A row of the table is the model's config.json; its family makes the ModelConfig and names the tensors. Weights are
generated in their final format, never in 16 bits first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinychat_core.checkpoint.formats import FORMATS, stored
from tinychat_core.checkpoint.manifest import Manifest, TensorEntry
from tinychat_core.checkpoint.model_config import ModelConfig
from tinychat_core.checkpoint.tensor_names import is_norm, shape_of
from tinychat_core.families import family_of, model_config
from tinychat_core.families.hf_config import HfConfig

_EIGHT_BIT_GROUP = 32


@dataclass(frozen=True)
class _Shape:
    config: Mapping[str, Any]
    group_size: int = 128
    biases: tuple[str, ...] = ()  # last parts of the names of tensors with a bias


def _llama(hidden: int, inner: int, layers: int, heads: int, kv_heads: int, vocab: int = 32000, context: int = 4096,
           **more: Any) -> dict[str, Any]:
    return {'model_type': 'llama', 'vocab_size': vocab, 'hidden_size': hidden, 'intermediate_size': inner,
            'num_hidden_layers': layers, 'num_attention_heads': heads, 'num_key_value_heads': kv_heads,
            'max_position_embeddings': context, 'rms_norm_eps': 1e-5, **more}


def _qwen(hidden: int, inner: int, layers: int, heads: int, kv_heads: int, *, tied: bool = True,
          vocab: int = 151936) -> dict[str, Any]:
    return _llama(hidden, inner, layers, heads, kv_heads, vocab, 32768, model_type='qwen2', rope_theta=1e6,
                  rms_norm_eps=1e-6, tie_word_embeddings=tied)


def _mpt(hidden: int, layers: int, heads: int, context: int) -> dict[str, Any]:
    return {'model_type': 'mpt', 'vocab_size': 50432, 'd_model': hidden, 'n_layers': layers, 'n_heads': heads,
            'max_seq_len': context}


_SHAPES: dict[str, _Shape] = {
    'smollm2-135m': _Shape(_llama(576, 1536, 30, 9, 3, vocab=49152, context=8192, rope_theta=1e5,
                                  tie_word_embeddings=True), group_size=32),
    'qwen2.5-0.5b': _Shape(_qwen(896, 4864, 24, 14, 2), biases=('qkv',)),
    'qwen2.5-1.5b': _Shape(_qwen(1536, 8960, 28, 12, 2), biases=('qkv',)),
    'qwen2.5-7b': _Shape(_qwen(3584, 18944, 28, 28, 4, tied=False, vocab=152064), biases=('qkv',)),
    'llama-2-7b': _Shape(_llama(4096, 11008, 32, 32, 32)),
    'vicuna-7b': _Shape(_llama(4096, 11008, 32, 32, 32)),
    'llama-2-13b': _Shape(_llama(5120, 13824, 40, 40, 40)),
    'vicuna-13b': _Shape(_llama(5120, 13824, 40, 40, 40)),
    'llama-30b': _Shape(_llama(6656, 17920, 1, 52, 52, context=2048, rms_norm_eps=1e-6)),  # one layer of 60
    'llama-2-70b': _Shape(_llama(8192, 28672, 80, 64, 8)),
    'llama-3-8b': _Shape(_llama(4096, 14336, 32, 32, 8, vocab=128256, context=8192, rope_theta=5e5)),
    'mpt-7b': _Shape(_mpt(4096, 32, 32, 2048)),
    'mpt-30b': _Shape(_mpt(7168, 48, 64, 8192)),
    # 71 heads of 64: 128 does not divide its width.
    'falcon-7b': _Shape({'model_type': 'falcon', 'vocab_size': 65024, 'hidden_size': 4544, 'num_hidden_layers': 32,
                         'num_attention_heads': 71, 'multi_query': True, 'parallel_attn': True},
                        group_size=64, biases=('norm', 'attn_norm')),
}

SHAPES = tuple(_SHAPES)


def config(name: str) -> Mapping[str, Any]:
    """Return the model's config.json; KeyError for an unknown name."""
    return _SHAPES[name].config


def shape_config(name: str) -> ModelConfig:
    """Return the shape's ModelConfig; KeyError for an unknown name."""
    return model_config(_SHAPES[name].config)


def manifest(name: str, weights: str) -> Manifest:
    """
    Return the manifest of a checkpoint of that shape, without shards.

    `weights` is W4 (embedding and head in eight bits), W8 or W16.
    """
    shape, model = _SHAPES[name], shape_config(name)
    family = family_of(shape.config)
    tensors: dict[str, TensorEntry] = {}

    def add(ours: str) -> None:
        size = shape_of(ours, model)
        if is_norm(ours):
            tensors[f'{ours}.weight'] = TensorEntry(0, 'f32', 1, size[0])
        else:
            edge = ours in ('embedding', 'head')
            kind = {'W4': 'w8g' if edge else 'w4z', 'W8': 'w8g', 'W16': 'f16'}[weights]
            group = {'w4z': shape.group_size, 'w8g': _EIGHT_BIT_GROUP, 'f16': 0}[kind]
            tensors[ours] = TensorEntry(0, kind, size[0], size[1], group, FORMATS[kind].layout)
        if ours.rpartition('.')[2] in shape.biases:
            tensors[f'{ours}.bias'] = TensorEntry(0, 'f32', 1, size[0])

    for ours in family.names(HfConfig(shape.config)):
        if ours == 'head' and model.tied_head:
            continue
        for i in range(model.layers if '{i}' in ours else 1):
            add(ours.format(i=i))
    return Manifest(family=family.name, model=model, weights=weights,
                    group_size=shape.group_size if weights == 'W4' else 0, tensors=tensors, shards=[])


def random_tensors(listed: Manifest, distinct: bool = True, seed: int = 0) -> dict[str, Any]:
    """
    Return random tensors for a manifest, as `Engine` takes them, with scales and norms that avoid overflow.

    Matrices share memory unless `distinct`: a GPU copies each of them anyway.
    """
    def parts_of(entry: TensorEntry) -> dict[str, tuple[Any, int]]:
        return stored(entry.format, entry.rows, entry.cols, entry.group_size, entry.layout)

    # Noise, repeated: multiplying zeros takes less power and is faster.
    noise = np.random.default_rng(seed).integers(0, 256, 1 << 18, dtype=np.uint8)
    if not distinct:
        noise = np.resize(noise, max(np.dtype(kind).itemsize * count for entry in listed.tensors.values()
                                     if entry.format != 'f32' for kind, count in parts_of(entry).values()))
    halves = (noise.view(np.uint16) & 0xa7ff).view(np.float16)  # less than 2^-5

    def numbers(part: str, kind: np.dtype[Any], count: int) -> Any:
        if part in ('scales', 'mins'):
            return np.full(count, 1e-3, dtype=kind)
        source = halves if kind == np.float16 else noise.view(kind)
        if not distinct:
            return source[:count]
        array = np.empty(count, kind)
        for at in range(0, count, source.size):
            array[at:at + source.size] = source[:count - at]
        return array

    def tensor(entry: TensorEntry) -> Any:
        if entry.format == 'f32':
            return np.ones(entry.cols, dtype=np.float32)
        arrays = {part.replace('qweight', 'weight'): numbers(part, np.dtype(kind), count)
                  for part, (kind, count) in parts_of(entry).items()}
        return {'format': entry.format, 'rows': entry.rows, 'cols': entry.cols,
                'group_size': entry.group_size, **arrays}

    return {name: tensor(entry) for name, entry in listed.tensors.items()}
