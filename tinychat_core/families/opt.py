# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
OPT: learned positions from row 2 on, LayerNorm, biases everywhere, ReLU.

The 350M model has its norms after the residual, none before the head, and a narrower embedding.
"""

from __future__ import annotations

from tinychat_core.checkpoint.model_config import ModelConfig
from tinychat_core.families.family import Family, Names
from tinychat_core.families.hf_config import HfConfig


def model_config(config: HfConfig) -> ModelConfig:
    """Return the configuration of an OPT model."""
    hidden, heads = config.size('hidden_size'), config.size('num_attention_heads')
    config.only('layer_norm_elementwise_affine', True)
    config.served('enable_bias')
    width = config.size('word_embed_proj_dim', hidden)
    return ModelConfig(
        vocab_size=config.size('vocab_size'),
        hidden_size=hidden,
        intermediate_size=config.size('ffn_dim'),
        layers=config.size('num_hidden_layers'),
        heads=heads,
        kv_heads=heads,
        head_dim=hidden // heads,
        context_length=config.size('max_position_embeddings', 2048),
        norm='layer',
        norm_eps=1e-5,
        activation=config.activation('activation_function', 'relu'),
        gated=False,
        position_offset=2,
        embedding_size=None if width == hidden else width,
        final_norm=_norm_first(config) and not config.get('_remove_final_layer_norm', False),
        tied_head=bool(config.get('tie_word_embeddings', True)),
        **config.tokens(),
    )


def tensors(config: HfConfig) -> Names:
    """Return Hugging Face's names; the norm of a part stands before it or after the residual."""
    layer, model = 'model.decoder.layers.{i}.', model_config(config)
    kind = 'norm' if _norm_first(config) else 'sum_norm'
    names: dict[str, str | tuple[str, ...]] = {
        'embedding': 'model.decoder.embed_tokens',
        'positions': 'model.decoder.embed_positions',
        'layers.{i}.attn_' + kind: layer + 'self_attn_layer_norm',
        'layers.{i}.attn.qkv': (layer + 'self_attn.q_proj', layer + 'self_attn.k_proj', layer + 'self_attn.v_proj'),
        'layers.{i}.attn.o': layer + 'self_attn.out_proj',
        'layers.{i}.mlp_' + kind: layer + 'final_layer_norm',
        'layers.{i}.mlp.up': layer + 'fc1',
        'layers.{i}.mlp.down': layer + 'fc2',
        'head': 'lm_head',
    }
    if model.embedding_size is not None:
        names |= {'project_in': 'model.decoder.project_in', 'project_out': 'model.decoder.project_out'}
    if model.final_norm:
        names['norm'] = 'model.decoder.final_layer_norm'
    return names


def _norm_first(config: HfConfig) -> bool:
    return bool(config.get('do_layer_norm_before', True))


FAMILY = Family('opt', ('opt',), model_config, tensors)
