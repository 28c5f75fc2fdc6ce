# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Qwen 2 and 2.5: LLaMA with biases of q, k and v, and windows that are mostly off."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tinychat_core.families import llama
from tinychat_core.families.config import Config
from tinychat_core.families.family import Gguf
from tinychat_core.families.windows import windows


def describe(config: Config) -> dict[str, Any]:
    """Return the description of a Qwen model; where windows are on, the upper layers have them."""
    description = llama.describe(config.or_else(max_position_embeddings=32768))
    first = config.get('max_window_layers', 28)
    if not config.get('use_sliding_window', False):
        config.served('sliding_window', 'layer_types')
        return description
    slides = [layer >= first for layer in range(description['layers'])]
    return {**description, **windows(config.or_else(sliding_window=4096), description['layers'], slides)}


FAMILY = replace(llama.FAMILY, name='qwen2', model_types=('qwen2',), describe=describe,
                 gguf=Gguf('qwen2', 'Qwen2ForCausalLM', llama.GGUF_TENSORS))
