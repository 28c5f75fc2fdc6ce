# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A GGUF file's metadata as Hugging Face's config.json and generation_config.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinychat_core.errors import UnsupportedModelError
from tinychat_core.families import describe, families, nearest
from tinychat_core.families.family import Family
from tinychat_core.importers.gguf_file import GgufFile

# After `<architecture>.`: the option of config.json.
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
}
_NEEDED = ('embedding_length', 'feed_forward_length', 'block_count', 'attention.head_count', 'context_length',
           'attention.layer_norm_rms_epsilon')
# What says nothing that is not known otherwise.
_NEUTRAL = ('vocab_size', 'rope.dimension_count', 'attention.value_length', 'rope.scaling.type',
            'rope.scaling.factor', 'rope.scaling.attn_factor', 'rope.scaling.finetuned',
            'rope.scaling.original_context_length', 'expert_count', 'expert_used_count', 'attention.causal')


def read_config(file: GgufFile) -> tuple[Family, dict[str, Any], dict[str, Any]]:
    """
    Return the family, its config.json as Hugging Face would have it, and the description.

    UnsupportedModelError names the architecture that is unknown or the option that is not served.
    """
    meta = file.metadata
    known = {family.gguf.architecture: family for family in families() if family.gguf is not None}
    architecture = str(meta.get('general.architecture'))
    if architecture not in known:
        raise UnsupportedModelError(f"{file.path}: the architecture '{architecture}' is not supported"
                                    f'{nearest(architecture, known)}')
    family, prefix = known[architecture], architecture + '.'
    options = {key[len(prefix):]: value for key, value in meta.items() if key.startswith(prefix)}

    def refuse(name: str) -> UnsupportedModelError:
        return UnsupportedModelError(f'{file.path}: {prefix}{name} = {options.get(name)} is not supported')

    for name in _NEEDED:
        if name not in options:
            raise UnsupportedModelError(f'{file.path}: the metadata lacks {prefix}{name}')
    for name, value in options.items():
        if isinstance(value, list) or (name not in _OPTIONS and name not in _NEUTRAL):
            raise refuse(name)
    for name, neutral in (('expert_count', (0,)), ('rope.scaling.type', ('none',)),
                          ('rope.scaling.factor', (0, 1))):
        if options.get(name, neutral[0]) not in neutral:
            raise refuse(name)
    assert family.gguf is not None
    vocabulary = meta.get('tokenizer.ggml.tokens')
    config = {
        'architectures': [family.gguf.hf_class],
        'model_type': family.model_types[0],
        'vocab_size': len(vocabulary) if isinstance(vocabulary, list) else options.get('vocab_size'),
        **{_OPTIONS[name]: value for name, value in options.items() if name in _OPTIONS},
        'hidden_act': 'silu',
        'tie_word_embeddings': 'output.weight' not in file.names,
        'bos_token_id': meta.get('tokenizer.ggml.bos_token_id'),
        'eos_token_id': generation_config(meta)['eos_token_id'],
    }
    model = describe(config)
    for name in ('rope.dimension_count', 'attention.value_length'):
        if options.get(name, model['head_dim']) != model['head_dim']:
            raise refuse(name)
    return family, config, model


def generation_config(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return generation_config.json: an answer ends with the end of the text or of the turn."""
    ends = [metadata.get(f'tokenizer.ggml.{name}_token_id') for name in ('eos', 'eot')]
    ends = list(dict.fromkeys(end for end in ends if end is not None))
    return {'bos_token_id': metadata.get('tokenizer.ggml.bos_token_id'),
            'eos_token_id': ends if len(ends) > 1 else ends[0] if ends else None}
