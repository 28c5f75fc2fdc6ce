# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Falcon 7B (one KV head, one norm) and 40B (groups of heads, two norms): attention and MLP side by side."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tinychat_core.checkpoint.model_config import ModelConfig
from tinychat_core.families.family import Family, Names
from tinychat_core.families.hf_config import HfConfig
from tinychat_core.families.rope import rope


def _with_current_names(config: HfConfig) -> HfConfig:
    """Return the options under transformers' names; the first checkpoints came with code and names of their own."""
    larger = config.get('model_type') == 'RefinedWeb'
    return config.also_called({
        'n_layer': 'num_hidden_layers', 'n_head': 'num_attention_heads', 'n_head_kv': 'num_kv_heads',
        'n_embed': 'hidden_size'}).or_else(new_decoder_architecture=larger)


def model_config(config: HfConfig) -> ModelConfig:
    """Return the configuration of a Falcon model with rotary positions."""
    config = _with_current_names(config)
    hidden, heads = config.size('hidden_size'), config.size('num_attention_heads')
    grouped, parallel = bool(config.get('new_decoder_architecture', False)), bool(config.get('parallel_attn', True))
    config.only('alibi', False)
    config.served('bias', 'num_ln_in_parallel_attn')
    if not config.get('multi_query', True) and not grouped:
        raise config.unsupported('multi_query')
    if grouped and not parallel:
        raise config.unsupported('parallel_attn')
    head_dim = hidden // heads
    return ModelConfig(
        vocab_size=config.size('vocab_size'),
        hidden_size=hidden,
        intermediate_size=config.size('ffn_hidden_size', 4 * hidden),
        layers=config.size('num_hidden_layers'),
        heads=heads,
        kv_heads=config.size('num_kv_heads', heads) if grouped else 1,
        head_dim=head_dim,
        norm='layer',
        norm_eps=config.number('layer_norm_epsilon', 1e-5),
        activation=config.activation('activation', 'gelu'),
        gated=False,
        parallel=parallel,
        **rope(config, head_dim, config.size('max_position_embeddings', 2048)),
        tied_head=bool(config.get('tie_word_embeddings', True)),
        **config.tokens(),
    )


def tensors(config: HfConfig) -> Names:
    """Return Hugging Face's names; those of the norms depend on how many there are."""
    config = _with_current_names(config)
    layer = 'transformer.h.{i}.'
    if not config.get('parallel_attn', True):
        norms = {'layers.{i}.attn_norm': layer + 'input_layernorm',
                 'layers.{i}.mlp_norm': layer + 'post_attention_layernorm'}
    elif config.get('num_ln_in_parallel_attn', 2 if config.get('new_decoder_architecture', False) else 1) == 2:
        norms = {'layers.{i}.attn_norm': layer + 'ln_attn', 'layers.{i}.mlp_norm': layer + 'ln_mlp'}
    else:
        norms = {'layers.{i}.attn_norm': layer + 'input_layernorm'}
    return {
        'embedding': 'transformer.word_embeddings',
        **norms,
        'layers.{i}.attn.qkv': layer + 'self_attention.query_key_value',
        'layers.{i}.attn.o': layer + 'self_attention.dense',
        'layers.{i}.mlp.up': layer + 'mlp.dense_h_to_4h',
        'layers.{i}.mlp.down': layer + 'mlp.dense_4h_to_h',
        'norm': 'transformer.ln_f',
        'head': 'lm_head',
    }


def qkv_rows(model: ModelConfig) -> npt.NDArray[np.intp]:
    """Return the rows of q, k and v: Falcon stores those of a KV head after the query heads that share it."""
    rows = np.arange(model.attention_width + 2 * model.kv_width).reshape(model.kv_heads, -1, model.head_dim)
    return np.concatenate([rows[:, :-2].reshape(-1), rows[:, -2].reshape(-1), rows[:, -1].reshape(-1)])


FAMILY = Family('falcon', ('falcon', 'RefinedWeb', 'RefinedWebModel'), model_config, tensors,
                row_order={'qkv': qkv_rows})
