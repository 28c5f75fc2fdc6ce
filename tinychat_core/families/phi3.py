# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Phi-3 and Phi-4-mini: LLaMA with q, k, v in one matrix, gate and up in another; part of a head may be rotated."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tinychat_core.families import llama
from tinychat_core.families.config import Config
from tinychat_core.families.family import Gguf
from tinychat_core.families.windows import windows


def describe(config: Config) -> dict[str, Any]:
    """Return the description of a Phi-3 model; where there is a window, all layers have it."""
    description = llama.describe(config.or_else(max_position_embeddings=4096, rms_norm_eps=1e-5))
    return {**description, **windows(config, description['layers'], [True] * description['layers'])}


FAMILY = replace(
    llama.FAMILY, name='phi3', model_types=('phi3',), describe=describe,
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
