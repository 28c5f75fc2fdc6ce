# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Mistral: LLaMA whose layers may all have a sliding window."""

from __future__ import annotations

from dataclasses import replace

from tinychat_core.checkpoint.model_config import ModelConfig
from tinychat_core.families import llama
from tinychat_core.families.hf_config import HfConfig
from tinychat_core.families.windows import windows


def model_config(config: HfConfig) -> ModelConfig:
    """Return the configuration of a Mistral model."""
    config = config.or_else(num_key_value_heads=8, sliding_window=4096, max_position_embeddings=131072)
    model = llama.model_config(config)
    return model.replace(windows=windows(config, [True] * model.layers))


FAMILY = replace(llama.FAMILY, name='mistral', model_types=('mistral',), model_config=model_config, gguf=None)
