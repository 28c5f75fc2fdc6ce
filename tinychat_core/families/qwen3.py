# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Qwen 3: Qwen 2 without biases, with a norm of each head of q and k."""

from __future__ import annotations

from dataclasses import replace

from tinychat_core.checkpoint.model_config import ModelConfig
from tinychat_core.families import llama, qwen2
from tinychat_core.families.family import Gguf
from tinychat_core.families.hf_config import HfConfig


def model_config(config: HfConfig) -> ModelConfig:
    """Return the configuration of a Qwen 3 model."""
    return qwen2.model_config(config.or_else(head_dim=128))


FAMILY = replace(
    qwen2.FAMILY, name='qwen3', model_types=('qwen3',), model_config=model_config,
    tensors={
        **llama.TENSORS,
        'layers.{i}.attn.q_norm': 'model.layers.{i}.self_attn.q_norm',
        'layers.{i}.attn.k_norm': 'model.layers.{i}.self_attn.k_norm',
    },
    gguf=Gguf('qwen3', 'Qwen3ForCausalLM', {
        **llama.GGUF_TENSORS,
        'layers.{i}.attn.q_norm': 'blk.{i}.attn_q_norm',
        'layers.{i}.attn.k_norm': 'blk.{i}.attn_k_norm',
    }))
