# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Rotary positions in a config.json: `rope_parameters`, or before transformers 5 `rope_scaling`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinychat_core.errors import UnsupportedModelError
from tinychat_core.families.config import Config


def rope(config: Config, head_dim: int, theta: float = 10000.0) -> dict[str, Any]:
    """
    Return the description's `rope`; `theta` is what the family takes where the configuration does not say.

    Raises UnsupportedModelError for a type of scaling that the decoder does not serve.
    """
    base = config.number('rope_theta', theta)
    old, new = config.get('rope_scaling', {}), config.get('rope_parameters', {})
    scaling: Mapping[str, Any] = {**old, **new}
    kind = scaling.get('rope_type', scaling.get('type', 'default'))
    if kind != 'default':
        raise UnsupportedModelError(f"the rope type '{kind}' is not supported")
    return {'theta': float(scaling.get('rope_theta', base)), 'dim': head_dim}
