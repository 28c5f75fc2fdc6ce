# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Random weights in every format."""
from __future__ import annotations

from typing import Any

import numpy as np

from tinychat_core.checkpoint.formats import FORMATS
from tinychat_core.checkpoint.linear import Linear


def random_matrix(format_: str, rows: int, cols: int, group_size: int, seed: int) -> Linear:
    """Return a matrix; one of a format with blocks has its own group size, and a block for each 32 columns."""
    random = np.random.default_rng(seed)
    form = FORMATS[format_]
    group_size, cols = form.group or group_size, cols // 32 * (form.block or 32)
    groups = cols // group_size if form.per_group else 1
    bounds = {8: (-128, 128), 16: (0, 0x7c00)}.get(form.bits, (0, 1 << form.bits))  # finite fp16
    weight = random.integers(*bounds, (rows, cols)).astype(np.uint16 if form.bits == 16 else form.number)

    def scales() -> Any:
        return random.normal(size=(rows, cols // form.block if form.block else groups)).astype(form.scales)

    subscales = None
    if form.block:
        subscales = (random.integers(0, 64, (rows, groups, 2), dtype=np.uint8) if form.mins
                     else random.integers(-128, 128, (rows, groups), dtype=np.int8))
    return Linear(format_, rows, cols, group_size if form.per_group else 0, None,
                  weight.view(form.number), scales() if form.scales else None,
                  scales() if form.mins else None,
                  random.integers(0, 16, (rows, groups), dtype=np.uint8) if form.zeros else None, subscales)
