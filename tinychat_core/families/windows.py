# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Sliding windows in a config.json: how far each decoder layer attends."""

from __future__ import annotations

from collections.abc import Sequence

from tinychat_core.families.hf_config import HfConfig

_SLIDES = {'full_attention': False, 'sliding_attention': True}


def windows(config: HfConfig, default: Sequence[bool]) -> list[int] | None:
    """
    Return `ModelConfig.windows`, or None where no layer has a window.

    `default` says, per layer, whether it has the window where the configuration has no `layer_types`.
    """
    types = config.get('layer_types')
    if types is not None and (not isinstance(types, list) or len(types) != len(default) or set(types) - set(_SLIDES)):
        raise config.unsupported('layer_types')
    slides = default if types is None else [_SLIDES[kind] for kind in types]
    if config.get('sliding_window') is None or not any(slides):
        return None
    width = config.size('sliding_window')
    return [width if slide else 0 for slide in slides]
