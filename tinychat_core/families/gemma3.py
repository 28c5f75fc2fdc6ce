# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Gemma 3 (text): norms of the heads of q and k; five of six layers with a window and rotations of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tinychat_core.families import gemma2
from tinychat_core.families.config import Config
from tinychat_core.families.family import Gguf
from tinychat_core.families.rope import inverse_frequencies, kind_of, table
from tinychat_core.families.windows import windows

# What a configuration of text within another one leaves out.
_DEFAULTS = {
    'vocab_size': 262208, 'hidden_size': 2304, 'intermediate_size': 9216, 'num_hidden_layers': 26,
    'num_attention_heads': 8, 'max_position_embeddings': 131072, 'sliding_window': 4096}
_WITH_EYES = ('vision_tower.', 'multi_modal_projector.')


def describe(config: Config) -> dict[str, Any]:
    """Return the description of a Gemma 3 text model, or of the text part of one that also sees images."""
    if config.get('model_type') != 'gemma3':
        return _describe(config.or_else(**_DEFAULTS))
    config.served('vision_config', 'tie_word_embeddings')
    tied = {'tie_word_embeddings': bool(config.get('tie_word_embeddings', True))}
    ends = {name: value for name, value in config.tokens().items() if value}
    return {**_describe(config.inner('text_config').or_else(**_DEFAULTS, **tied)), **ends}


def _describe(config: Config) -> dict[str, Any]:
    period = config.size('sliding_window_pattern', 6)
    config.only('attn_logit_softcapping')  # of Gemma 2; the class of Gemma 3 has the option and does not read it
    newer = {name: value for name, value in config.mapping('rope_parameters').items() if value is not None}
    local, whole = (newer.pop(name, {}) for name in ('sliding_attention', 'full_attention'))
    if newer or not isinstance(local, dict) or not isinstance(whole, dict):  # transformers has none for all layers
        raise config.unsupported('rope_parameters')
    older = config.mapping('rope_scaling')
    if 'rope_type' not in older and older.get('type', 'default') != 'default':  # transformers does not scale then
        raise config.unsupported('rope_scaling')
    config.served('rope_local_base_freq')
    description = gemma2.common(config.without('rope_scaling', 'rope_parameters'))
    head_dim, context = description['head_dim'], description['context_length']
    whole = {'rope_theta': config.number('rope_theta', 1e6), 'partial_rotary_factor': 1.0,
             'original_max_position_embeddings': context, **whole, **older}
    # Other ways than linear scaling would also scale cos and sin, in the layers with a window too.
    if kind_of(whole) not in ('default', 'linear') or kind_of(local) != 'default':
        raise config.unsupported('rope_parameters' if config.get('rope_parameters') else 'rope_scaling')
    for name in ('rope', 'rope_inv_freq', 'rope_scale'):
        description.pop(name, None)
    description |= table(whole, head_dim, context)
    theta = local.get('rope_theta', config.number('rope_local_base_freq', 10000.0))
    description['rope_local_inv_freq'] = inverse_frequencies(theta, head_dim).astype(np.float32).tolist()
    slides = [(layer + 1) % period != 0 for layer in range(description['layers'])]
    return {**description, **windows(config, description['layers'], slides)}


FAMILY = replace(
    gemma2.FAMILY, name='gemma3', model_types=('gemma3_text', 'gemma3'), describe=describe,
    left_out=(*_WITH_EYES, *(f'model.{name}' for name in _WITH_EYES)),
    tensors={
        **gemma2.TENSORS,
        'layers.{i}.attn.q_norm': 'model.layers.{i}.self_attn.q_norm',
        'layers.{i}.attn.k_norm': 'model.layers.{i}.self_attn.k_norm',
    },
    gguf=Gguf('gemma3', 'Gemma3ForCausalLM', {
        **gemma2.GGUF_TENSORS,
        'layers.{i}.attn.q_norm': 'blk.{i}.attn_q_norm',
        'layers.{i}.attn.k_norm': 'blk.{i}.attn_k_norm',
    }, options=gemma2.gguf_options))
