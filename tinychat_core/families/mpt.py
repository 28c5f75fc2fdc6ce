# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""MPT: ALiBi instead of positions, LayerNorm without biases, GELU, q, k and v in one matrix."""

from __future__ import annotations

import math

from tinychat_core.checkpoint.model_config import ModelConfig
from tinychat_core.families.family import Family
from tinychat_core.families.hf_config import HfConfig


def model_config(config: HfConfig) -> ModelConfig:
    """Return the configuration of an MPT model."""
    hidden, heads = config.size('d_model'), config.size('n_heads')
    attention = config.inner('attn_config')
    attention.only('attn_type', 'multihead_attention')
    attention.only('alibi', True)
    for option in ('clip_qkv', 'prefix_lm', 'qk_ln', 'qk_gn', 'rope', 'attn_uses_sequence_id'):
        attention.only(option, False)
    attention.only('sliding_window_size', -1)
    attention.only('alibi_bias_max', 8)  # transformers has no other, whatever is written here
    config.only('no_bias', True)
    config.only('norm_type', 'low_precision_layernorm', 'layernorm')
    config.only('logit_scale')
    if attention.get('softmax_scale') is not None and attention.number('softmax_scale') <= 0:
        raise attention.unsupported('softmax_scale')
    return ModelConfig(
        vocab_size=config.size('vocab_size'),
        hidden_size=hidden,
        intermediate_size=hidden * config.size('expansion_ratio', 4),
        layers=config.size('n_layers'),
        heads=heads,
        kv_heads=heads,
        head_dim=hidden // heads,
        context_length=config.size('max_seq_len', 2048),
        norm='layer',
        norm_eps=config.number('layer_norm_epsilon', 1e-5),
        activation='gelu',
        gated=False,
        alibi_slopes=alibi_slopes(heads),
        attention_scale=attention.number('softmax_scale', 0.0),
        tied_head=bool(config.get('tie_word_embeddings', True)),
        **config.tokens(),
    )


def alibi_slopes(heads: int) -> list[float]:
    """Return ALiBi's slope of each head (Press et al., 2022), as MPT orders them for other than powers of two."""
    power = 1 << math.ceil(math.log2(heads))
    slopes = [2.0 ** (-(i + 1) * 8 / power) for i in range(power)]
    return slopes if power == heads else (slopes[1::2] + slopes[::2])[:heads]


FAMILY = Family('mpt', ('mpt',), model_config, {
    'embedding': 'transformer.wte',
    'layers.{i}.attn_norm': 'transformer.blocks.{i}.norm_1',
    'layers.{i}.attn.qkv': 'transformer.blocks.{i}.attn.Wqkv',
    'layers.{i}.attn.o': 'transformer.blocks.{i}.attn.out_proj',
    'layers.{i}.mlp_norm': 'transformer.blocks.{i}.norm_2',
    'layers.{i}.mlp.up': 'transformer.blocks.{i}.ffn.up_proj',
    'layers.{i}.mlp.down': 'transformer.blocks.{i}.ffn.down_proj',
    'norm': 'transformer.norm_f',
    'head': 'lm_head',
})
