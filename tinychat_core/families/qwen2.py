# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Qwen 2 and 2.5: LLaMA with biases of q, k and v, and a sliding window that is usually off."""

from __future__ import annotations

from dataclasses import replace

from tinychat_core.checkpoint.model_config import ModelConfig
from tinychat_core.families import llama
from tinychat_core.families.family import Gguf
from tinychat_core.families.hf_config import HfConfig
from tinychat_core.families.windows import windows


def model_config(config: HfConfig) -> ModelConfig:
    """Return the configuration of a Qwen model; where the window is on, only the upper layers have it."""
    model = llama.model_config(config.or_else(max_position_embeddings=32768))
    first = config.get('max_window_layers', 28)
    if not config.get('use_sliding_window', False):
        config.served('sliding_window', 'layer_types')
        return model
    slides = [layer >= first for layer in range(model.layers)]
    return model.replace(windows=windows(config.or_else(sliding_window=4096), slides))


FAMILY = replace(llama.FAMILY, name='qwen2', model_types=('qwen2',), model_config=model_config,
                 gguf=Gguf('qwen2', 'Qwen2ForCausalLM', llama.GGUF_TENSORS))
