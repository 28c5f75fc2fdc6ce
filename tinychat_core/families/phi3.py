# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Phi-3 and Phi-4-mini: LLaMA with q, k, v in one matrix and gate, up in another; may rotate part of a head."""

from __future__ import annotations

from dataclasses import replace

from tinychat_core.checkpoint.model_config import ModelConfig
from tinychat_core.families import llama
from tinychat_core.families.family import Gguf
from tinychat_core.families.hf_config import HfConfig
from tinychat_core.families.windows import windows


def model_config(config: HfConfig) -> ModelConfig:
    """Return the configuration of a Phi-3 model; where there is a sliding window, all layers have it."""
    model = llama.model_config(config.or_else(max_position_embeddings=4096, rms_norm_eps=1e-5))
    return model.replace(windows=windows(config, [True] * model.layers))


FAMILY = replace(
    llama.FAMILY, name='phi3', model_types=('phi3',), model_config=model_config,
    tensors={
        **llama.TENSORS,
        'layers.{i}.attn.qkv': 'model.layers.{i}.self_attn.qkv_proj',
        'layers.{i}.mlp.gate_up': 'model.layers.{i}.mlp.gate_up_proj',
    },
    gguf=Gguf('phi3', 'Phi3ForCausalLM', {
        **llama.GGUF_TENSORS,
        'layers.{i}.attn.qkv': 'blk.{i}.attn_qkv',
        'layers.{i}.mlp.gate_up': 'blk.{i}.ffn_up',
    }))
