# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Rotary positions (Su et al., 2021) as the table of inverse frequencies that the decoder rotates with."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def rope_tables(model: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return what the native description holds for a family's `rope`: {'theta', 'dim'}.

    `rope_inv_freq` [dim / 2]: radians per position, theta^(-2i/dim), computed in float32 like the references. A model
    without rotary positions gets an empty dictionary.
    """
    rope = model.get('rope')
    if not rope:
        return {}
    exponents = np.arange(0, rope['dim'], 2, dtype=np.float32) / np.float32(rope['dim'])
    return {'rope_inv_freq': (1.0 / np.float32(rope['theta']) ** exponents).astype(np.float32).tolist()}
