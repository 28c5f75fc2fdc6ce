# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A GGUF file's metadata as Hugging Face's config.json and generation_config.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tinychat_core.checkpoint.model_config import as_floats, inverse_frequencies, ModelConfig
from tinychat_core.errors import TinyChatError, UnsupportedModelError
from tinychat_core.families import families, model_config, nearest
from tinychat_core.families.family import Family
from tinychat_core.importers.gguf_keys import effective
from tinychat_core.importers.gguf_parts import GgufModel

# Tensors of the rotary embedding: divisors of the inverse frequencies, one per rotated pair.
ROPE_FREQS, ROPE_SHORT, ROPE_LONG = 'rope_freqs.weight', 'rope_factors_short.weight', 'rope_factors_long.weight'
ROPE_TENSORS = (ROPE_FREQS, ROPE_SHORT, ROPE_LONG)

# Key after `<architecture>.` -> option of config.json.
_OPTIONS = {
    'embedding_length': 'hidden_size',
    'feed_forward_length': 'intermediate_size',
    'block_count': 'num_hidden_layers',
    'attention.head_count': 'num_attention_heads',
    'attention.head_count_kv': 'num_key_value_heads',
    'attention.key_length': 'head_dim',
    'context_length': 'max_position_embeddings',
    'attention.layer_norm_rms_epsilon': 'rms_norm_eps',
    'rope.freq_base': 'rope_theta',
    'attention.sliding_window': 'sliding_window',
    'attention.sliding_window_pattern': 'sliding_window_pattern',
    'rope.freq_base_swa': 'rope_local_base_freq',
    'attn_logit_softcapping': 'attn_logit_softcapping',
    'final_logit_softcapping': 'final_logit_softcapping',
}
_NEEDED = ('embedding_length', 'feed_forward_length', 'block_count', 'attention.head_count', 'context_length',
           'attention.layer_norm_rms_epsilon')
_SCALING = ('rope.scaling.type', 'rope.scaling.factor', 'rope.scale_linear', 'rope.scaling.original_context_length',
            'rope.scaling.attn_factor')
# Keys that must equal the width of a head, or give the part of it that is rotated.
_WIDTHS = ('rope.dimension_count', 'attention.value_length')


def read_config(file: GgufModel) -> tuple[Family, dict[str, Any], ModelConfig]:
    """
    Return the family, the config.json that Hugging Face would have, and the ModelConfig.

    UnsupportedModelError names an unknown architecture or an unsupported option.
    """
    meta = file.metadata
    known = {family.gguf.architecture: family for family in families() if family.gguf is not None}
    architecture = str(meta.get('general.architecture'))
    if architecture not in known:
        raise UnsupportedModelError(f"{file.path}: the architecture '{architecture}' is not supported"
                                    f'{nearest(architecture, known)}')
    if meta.get('general.type', 'model') != 'model':
        raise UnsupportedModelError(f"{file.path} has the type '{meta['general.type']}', not a model; give the file "
                                    'of the model')
    family, prefix = known[architecture], architecture + '.'
    found = {key[len(prefix):]: value for key, value in meta.items() if key.startswith(prefix)}
    options = effective(found, str(file.path))

    def refuse(name: str) -> UnsupportedModelError:
        return UnsupportedModelError(f'{file.path}: {prefix}{name} = {options.get(name)} is not supported')

    for name in _NEEDED:
        if name not in options:
            raise UnsupportedModelError(f'{file.path}: the metadata lacks {prefix}{name}')
    for name, value in options.items():
        if name == 'attention.sliding_window_pattern' and isinstance(value, list):
            continue
        if isinstance(value, list) or name not in (*_OPTIONS, *_SCALING, *_WIDTHS):
            raise refuse(name)
    layers = options['block_count']
    if type(layers) is int and layers > len(file.names):
        raise TinyChatError(f'{file.path} is damaged: {prefix}block_count = {layers}, and it has {len(file.names)} '
                            'tensors')
    assert family.gguf is not None
    vocabulary = meta.get('tokenizer.ggml.tokens')
    if not isinstance(vocabulary, list):
        raise UnsupportedModelError(f'{file.path}: the metadata lacks tokenizer.ggml.tokens')
    config = {
        'architectures': [family.gguf.hf_class],
        'model_type': family.model_types[0],
        '_name_or_path': file.name,
        'vocab_size': len(vocabulary),
        # None where the file turns an option off that the family turns on by default.
        **{_OPTIONS[name]: options.get(name) for name in found if name in _OPTIONS},
        **_layer_types(options, refuse),
        'tie_word_embeddings': 'output.weight' not in file.names,
        'bos_token_id': meta.get('tokenizer.ggml.bos_token_id'),
        'eos_token_id': generation_config(meta)['eos_token_id'],
    }
    config |= {**family.gguf.options(config), **_scaling(file, options, refuse)}
    head_dim = model_config(config).head_dim
    if options.get('attention.value_length', head_dim) != head_dim:
        raise refuse('attention.value_length')
    rotated = options.get('rope.dimension_count', head_dim)
    if rotated != head_dim:
        if family.gguf.interleaved or type(rotated) is not int:
            raise refuse('rope.dimension_count')
        config['partial_rotary_factor'] = rotated / head_dim
    model = model_config(config)
    if ROPE_FREQS in file.names:
        model = model.replace(rope=None, rope_inv_freq=_divided_frequencies(file, model))
    return family, config, model


def generation_config(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return generation_config.json: the end of a text, a turn or a message ends an answer."""
    ends = [metadata.get(f'tokenizer.ggml.{name}_token_id') for name in ('eos', 'eot', 'eom')]
    ends = list(dict.fromkeys(end for end in ends if end is not None))
    return {'bos_token_id': metadata.get('tokenizer.ggml.bos_token_id'),
            'eos_token_id': ends if len(ends) > 1 else ends[0] if ends else None}


def _layer_types(options: Mapping[str, Any], refuse: Any) -> dict[str, Any]:
    """Return `layer_types`, where the file lists the layers with a window instead of their period."""
    pattern = options.get('attention.sliding_window_pattern')
    if not isinstance(pattern, list):
        return {}
    if len(pattern) != options['block_count'] or any(value not in (0, 1) for value in pattern):
        raise refuse('attention.sliding_window_pattern')
    return {'sliding_window_pattern': None,
            'layer_types': ['sliding_attention' if value else 'full_attention' for value in pattern]}


def _scaling(file: GgufModel, options: Mapping[str, Any], refuse: Any) -> dict[str, Any]:
    """Return config.json's `rope_scaling` and related options; empty where positions are not scaled."""
    factor = options.get('rope.scaling.factor', options.get('rope.scale_linear', 0))
    # llama.cpp treats a factor without a type as linear.
    kind = options.get('rope.scaling.type', 'linear' if factor else 'none')
    original = options.get('rope.scaling.original_context_length')
    extended = {'original_max_position_embeddings': original} if original else {}
    if ROPE_LONG in file.names and ROPE_SHORT in file.names:
        if kind not in ('none', 'longrope'):
            raise refuse('rope.scaling.type')
        scaling = {'rope_type': 'longrope', 'short_factor': file.vector(ROPE_SHORT).tolist(),
                   'long_factor': file.vector(ROPE_LONG).tolist()}
        if 'rope.scaling.attn_factor' in options:
            scaling['attention_factor'] = options['rope.scaling.attn_factor']
        return {**extended, 'rope_scaling': scaling}
    if options.get('rope.scaling.attn_factor', 1) != 1:
        raise refuse('rope.scaling.attn_factor')
    if kind == 'none' or (kind == 'linear' and not factor) or (kind in ('linear', 'yarn') and factor == 1):
        return {}
    if kind not in ('linear', 'yarn') or not factor:
        raise refuse('rope.scaling.type')
    return {'rope_scaling': {'rope_type': kind, 'factor': factor, **extended}}


def _divided_frequencies(file: GgufModel, model: ModelConfig) -> list[float]:
    """Return the inverse frequencies of LLaMA 3.1 and later, which a GGUF file stores as divisors in a tensor."""
    divisors = file.vector(ROPE_FREQS).astype(np.float64)
    if model.rope is None or divisors.shape != (model.rope.dim // 2,) or not (divisors > 0).all():
        raise UnsupportedModelError(f'{file.path}: {ROPE_FREQS} with {divisors.size} numbers is not supported for '
                                    'these rotary positions')
    return as_floats(inverse_frequencies(model.rope.theta, model.rope.dim) / divisors)
