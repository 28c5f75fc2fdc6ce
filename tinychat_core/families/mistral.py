# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Mistral: LLaMA whose layers all look through a sliding window, where there is one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tinychat_core.families import llama
from tinychat_core.families.config import Config
from tinychat_core.families.windows import windows


def describe(config: Config) -> dict[str, Any]:
    """Return the description of a Mistral model."""
    config = config.or_else(num_key_value_heads=8, sliding_window=4096, max_position_embeddings=131072)
    description = llama.describe(config)
    return {**description, **windows(config, description['layers'], [True] * description['layers'])}


FAMILY = replace(llama.FAMILY, name='mistral', model_types=('mistral',), describe=describe, gguf=None)
