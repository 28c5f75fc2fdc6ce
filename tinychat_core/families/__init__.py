# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Model families: one small declarative file each, found because it is in this directory."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from tinychat_core.checkpoint.model_config import ModelConfig
from tinychat_core.checkpoint.vision_config import VisionConfig
from tinychat_core.errors import UnsupportedModelError
from tinychat_core.families.family import Family
from tinychat_core.families.hf_config import HfConfig


@cache
def families() -> tuple[Family, ...]:
    """Return every family of this package, ordered by file name."""
    modules = (import_module(f'{__name__}.{module.name}') for module in iter_modules(__path__))
    return tuple(module.FAMILY for module in modules if hasattr(module, 'FAMILY'))


def family_of(config: Mapping[str, Any]) -> Family:
    """Return the family of a config.json; UnsupportedModelError names the closest ones where it is unknown."""
    kind = str(config.get('model_type'))
    known = {name: family for family in families() for name in family.model_types}
    if kind not in known:
        raise UnsupportedModelError(f"the model type '{kind}' is not supported{nearest(kind, known)}")
    return known[kind]


def model_config(config: Mapping[str, Any]) -> ModelConfig:
    """
    Return the configuration of a model from its Hugging Face config.json.

    Raises UnsupportedModelError for an unknown family, or an option or size that is not supported.
    """
    reader = HfConfig(config)
    try:
        found = family_of(config).model_config(reader)
        reader.check()
        return ModelConfig.from_json(found.to_json())
    except ValueError as error:
        raise UnsupportedModelError(str(error)) from None


def vision_config(config: Mapping[str, Any], processor: Mapping[str, Any], text: ModelConfig) -> VisionConfig | None:
    """
    Return how a model sees images, from its config.json and preprocessor_config.json; None if it does not.

    `text`: the configuration of its text part. Raises UnsupportedModelError for an option that is not supported.
    """
    vision = family_of(config).vision
    if vision is None or not config.get('vision_config'):
        return None
    reader = HfConfig(config)
    try:
        found = vision.config(reader, processor, text)
        reader.served(*config)  # `model_config` has checked those beside vision_config
        reader.check()
        return VisionConfig.from_json(found.to_json())
    except ValueError as error:
        raise UnsupportedModelError(str(error)) from None


def nearest(name: str, known: Mapping[str, Any]) -> str:
    """Return the end of a sentence that lists up to three supported names, the most similar first."""
    return f'; the nearest supported ones are {", ".join(get_close_matches(name, known, n=3, cutoff=0.0))}'
