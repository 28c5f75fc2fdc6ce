# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Gemma 2: norms before and after each part, soft caps, a sliding window in every other layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tinychat_core.checkpoint.model_config import ModelConfig
from tinychat_core.families import llama
from tinychat_core.families.family import Gguf, Names
from tinychat_core.families.hf_config import HfConfig
from tinychat_core.families.windows import windows


def model_config(config: HfConfig) -> ModelConfig:
    """Return the configuration of a Gemma 2 model."""
    config = config.or_else(max_position_embeddings=8192, attn_logit_softcapping=50.0,
                            final_logit_softcapping=30.0, sliding_window=4096)
    model = common(config)
    slides = [layer % 2 == 0 for layer in range(model.layers)]
    return model.replace(windows=windows(config, slides))


def common(config: HfConfig) -> ModelConfig:
    """Return what Gemma 2 and 3 share."""
    config.only('use_bidirectional_attention', False)
    model = llama.model_config(config.or_else(head_dim=256, num_key_value_heads=4))
    return model.replace(
        activation=config.activation('hidden_activation', 'gelu_pytorch_tanh'),
        tied_head=bool(config.get('tie_word_embeddings', True)),
        embedding_scale=model.hidden_size ** 0.5,
        attention_scale=config.number('query_pre_attn_scalar', 256) ** -0.5,
        attention_softcap=config.number('attn_logit_softcapping', 0.0),
        logit_softcap=config.number('final_logit_softcapping', 0.0))


TENSORS: Names = {
    **llama.TENSORS,
    'layers.{i}.attn_post_norm': 'model.layers.{i}.post_attention_layernorm',
    'layers.{i}.mlp_norm': 'model.layers.{i}.pre_feedforward_layernorm',
    'layers.{i}.mlp_post_norm': 'model.layers.{i}.post_feedforward_layernorm',
}

GGUF_TENSORS: Names = {
    **llama.GGUF_TENSORS,
    'layers.{i}.attn_post_norm': 'blk.{i}.post_attention_norm',
    'layers.{i}.mlp_post_norm': 'blk.{i}.post_ffw_norm',
}


def gguf_options(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the scale of attention, which a GGUF file does not store: only the largest models differ."""
    largest = config['num_hidden_layers'] in (46, 62)
    width = config['hidden_size'] // config['num_attention_heads'] if largest else config.get('head_dim', 256)
    return {'query_pre_attn_scalar': width}


FAMILY = replace(llama.FAMILY, name='gemma2', model_types=('gemma2',), model_config=model_config, tensors=TENSORS,
                 norm_offset=1.0, gguf=Gguf('gemma2', 'Gemma2ForCausalLM', GGUF_TENSORS, options=gguf_options))
