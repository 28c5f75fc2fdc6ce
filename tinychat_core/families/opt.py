# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""OPT: learned positions from row 2 on, LayerNorm, biases everywhere, ReLU. The 350M model is not served."""

from __future__ import annotations

from typing import Any

from tinychat_core.families.config import Config
from tinychat_core.families.family import Family


def describe(config: Config) -> dict[str, Any]:
    """Return the description of an OPT model with the norms in front."""
    hidden, heads = config.size('hidden_size'), config.size('num_attention_heads')
    config.only('do_layer_norm_before', True)
    config.only('_remove_final_layer_norm', False)
    config.only('word_embed_proj_dim', hidden)
    config.only('layer_norm_elementwise_affine', True)
    config.served('enable_bias')
    return {
        'vocab_size': config.size('vocab_size'),
        'hidden_size': hidden,
        'intermediate_size': config.size('ffn_dim'),
        'layers': config.size('num_hidden_layers'),
        'heads': heads,
        'kv_heads': heads,
        'head_dim': hidden // heads,
        'context_length': config.size('max_position_embeddings', 2048),
        'norm': 'layer',
        'norm_eps': 1e-5,
        'activation': config.activation('activation_function', 'relu'),
        'gated': False,
        'position_offset': 2,
        'tied_head': bool(config.get('tie_word_embeddings', True)),
        **config.tokens(),
    }


_LAYER = 'model.decoder.layers.{i}.'

FAMILY = Family('opt', ('opt',), describe, {
    'embedding': 'model.decoder.embed_tokens',
    'positions': 'model.decoder.embed_positions',
    'layers.{i}.attn_norm': _LAYER + 'self_attn_layer_norm',
    'layers.{i}.attn.qkv': (_LAYER + 'self_attn.q_proj', _LAYER + 'self_attn.k_proj', _LAYER + 'self_attn.v_proj'),
    'layers.{i}.attn.o': _LAYER + 'self_attn.out_proj',
    'layers.{i}.mlp_norm': _LAYER + 'final_layer_norm',
    'layers.{i}.mlp.up': _LAYER + 'fc1',
    'layers.{i}.mlp.down': _LAYER + 'fc2',
    'norm': 'model.decoder.final_layer_norm',
    'head': 'lm_head',
})
