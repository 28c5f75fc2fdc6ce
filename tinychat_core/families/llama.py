# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""LLaMA and models built like it: SmolLM2, TinyLlama, Vicuna."""

from __future__ import annotations

from tinychat_core.checkpoint.model_config import ModelConfig
from tinychat_core.families.family import Family, Gguf, Names
from tinychat_core.families.hf_config import HfConfig
from tinychat_core.families.rope import rope


def model_config(config: HfConfig) -> ModelConfig:
    """Return the configuration of a LLaMA-like model; biases are read wherever the checkpoint has them."""
    hidden, heads = config.size('hidden_size'), config.size('num_attention_heads')
    head_dim = config.size('head_dim', hidden // heads)
    config.served('attention_bias', 'mlp_bias')
    context = config.size('max_position_embeddings', 2048)
    if config.get('model_type') == 'llama':
        _check_windows(config, context)
    return ModelConfig(
        vocab_size=config.size('vocab_size'),
        hidden_size=hidden,
        intermediate_size=config.size('intermediate_size'),
        layers=config.size('num_hidden_layers'),
        heads=heads,
        kv_heads=config.size('num_key_value_heads', heads),
        head_dim=head_dim,
        norm='rms',
        norm_eps=config.number('rms_norm_eps', 1e-6),
        activation=config.activation(),
        gated=True,
        tied_head=bool(config.get('tie_word_embeddings', False)),
        **rope(config, head_dim, context),
        **config.tokens(),
    )


def _check_windows(config: HfConfig, context: int) -> None:
    """Raise UnsupportedModelError for a sliding window shorter than the context, which LLaMA does not have."""
    types, window = config.get('layer_types'), config.get('sliding_window')
    if isinstance(types, list) and any(kind != 'full_attention' for kind in types):
        raise config.unsupported('layer_types')
    if window is not None and not (type(window) is int and window >= context):
        raise config.unsupported('sliding_window')


TENSORS: Names = {
    'embedding': 'model.embed_tokens',
    'layers.{i}.attn_norm': 'model.layers.{i}.input_layernorm',
    'layers.{i}.attn.qkv': ('model.layers.{i}.self_attn.q_proj', 'model.layers.{i}.self_attn.k_proj',
                            'model.layers.{i}.self_attn.v_proj'),
    'layers.{i}.attn.o': 'model.layers.{i}.self_attn.o_proj',
    'layers.{i}.mlp_norm': 'model.layers.{i}.post_attention_layernorm',
    'layers.{i}.mlp.gate_up': ('model.layers.{i}.mlp.gate_proj', 'model.layers.{i}.mlp.up_proj'),
    'layers.{i}.mlp.down': 'model.layers.{i}.mlp.down_proj',
    'norm': 'model.norm',
    'head': 'lm_head',
}

GGUF_TENSORS: Names = {
    'embedding': 'token_embd',
    'layers.{i}.attn_norm': 'blk.{i}.attn_norm',
    'layers.{i}.attn.qkv': ('blk.{i}.attn_q', 'blk.{i}.attn_k', 'blk.{i}.attn_v'),
    'layers.{i}.attn.o': 'blk.{i}.attn_output',
    'layers.{i}.mlp_norm': 'blk.{i}.ffn_norm',
    'layers.{i}.mlp.gate_up': ('blk.{i}.ffn_gate', 'blk.{i}.ffn_up'),
    'layers.{i}.mlp.down': 'blk.{i}.ffn_down',
    'norm': 'output_norm',
    'head': 'output',
}

FAMILY = Family('llama', ('llama',), model_config, TENSORS,
                gguf=Gguf('llama', 'LlamaForCausalLM', GGUF_TENSORS, interleaved=True))
