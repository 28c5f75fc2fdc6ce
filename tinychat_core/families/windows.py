# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Sliding windows in a config.json: which decoder layers see how far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinychat_core.families.config import Config

_WINDOWS = {'full_attention': False, 'sliding_attention': True}


def windows(config: Config, layers: int, default: Sequence[bool]) -> dict[str, Any]:
    """
    Return the description's `windows`, or nothing where no layer has one.

    `default` tells which layers have the window where the configuration has no `layer_types`.
    """
    types = config.get('layer_types')
    if types is not None and (not isinstance(types, list) or len(types) != layers or set(types) - set(_WINDOWS)):
        raise config.unsupported('layer_types')
    slides = default if types is None else [_WINDOWS[kind] for kind in types]
    if config.get('sliding_window') is None or not any(slides):
        return {}
    width = config.size('sliding_window')
    return {'windows': [width if slide else 0 for slide in slides]}
