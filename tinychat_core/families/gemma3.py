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
from tinychat_core.families.rope import inverse_frequencies, parameters, table
from tinychat_core.families.windows import windows


def describe(config: Config) -> dict[str, Any]:
    """Return the description of a Gemma 3 text model."""
    config = config.or_else(max_position_embeddings=131072, sliding_window=4096)
    period = config.size('sliding_window_pattern', config.size('_sliding_window_pattern', 6))
    scaling = parameters(config)
    config.served('rope_local_base_freq')
    description = gemma2.common(config.without('rope_scaling', 'rope_parameters'))
    head_dim, context = description['head_dim'], description['context_length']
    local = scaling.pop('sliding_attention', None) or {}
    whole = {'rope_theta': config.number('rope_theta', 1e6), 'partial_rotary_factor': 1.0,
             'original_max_position_embeddings': context, **(scaling.pop('full_attention', None) or scaling)}
    for name in ('rope', 'rope_inv_freq', 'rope_scale'):
        description.pop(name, None)
    description |= table(whole, head_dim, context)
    if local.get('rope_type', 'default') != 'default':
        raise config.unsupported('rope_parameters')
    theta = local.get('rope_theta', config.number('rope_local_base_freq', 10000.0))
    description['rope_local_inv_freq'] = inverse_frequencies(theta, head_dim).astype(np.float32).tolist()
    slides = [(layer + 1) % period != 0 for layer in range(description['layers'])]
    return {**description, **windows(config, description['layers'], slides)}


FAMILY = replace(
    gemma2.FAMILY, name='gemma3', model_types=('gemma3_text',), describe=describe,
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
