# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Qwen 3: Qwen 2 without biases, with norms of the heads of q and k."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tinychat_core.families import llama, qwen2
from tinychat_core.families.config import Config
from tinychat_core.families.family import Gguf


def describe(config: Config) -> dict[str, Any]:
    """Return the description of a Qwen 3 model."""
    return qwen2.describe(config.or_else(head_dim=128))


FAMILY = replace(
    qwen2.FAMILY, name='qwen3', model_types=('qwen3',), describe=describe,
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
