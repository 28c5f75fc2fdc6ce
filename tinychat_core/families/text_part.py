# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The text part of a vision-language model, which is the model of another family."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinychat_core.checkpoint.model_config import ModelConfig
from tinychat_core.families.family import Family
from tinychat_core.families.hf_config import HfConfig


def text_part(config: HfConfig, known: Mapping[str, tuple[Family, Mapping[str, Any]]],
              tied: bool) -> tuple[Family, ModelConfig]:
    """
    Return the family and the configuration of the text part, `text_config`.

    `known`: the possible model types, with the options that may be missing. The first type is used if none is named.
    `tied`: whether the head is the embedding by default.
    """
    config.served('vision_config')
    kind = config.mapping('text_config').get('model_type', next(iter(known)))
    if kind not in known:
        raise config.unsupported('text_config')
    family, defaults = known[kind]
    ties = {'tie_word_embeddings': bool(config.get('tie_word_embeddings', tied))}
    text = config.inner('text_config').or_else(**{**defaults, **ties})
    return family, with_ends(config, family.model_config(text))


def with_ends(config: HfConfig, model: ModelConfig) -> ModelConfig:
    """Return a text model with the special tokens that are stored next to its options."""
    return model.replace(**{name: value for name, value in config.tokens().items() if value})
