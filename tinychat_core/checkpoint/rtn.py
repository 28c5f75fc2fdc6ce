# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Round to nearest, which needs no calibration: the baseline of every other method.

Scales are rounded to fp16 first, as they are stored; then the weights are rounded to the resulting grid.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tinychat_core.checkpoint.linear import Linear

Values = npt.NDArray[np.float32]

_CHUNK = 1 << 22  # elements processed at a time


def four_bits(values: Values, group_size: int) -> Linear:
    """
    Return w4z: float32 [rows, cols] rounded to 16 steps from the minimum to the maximum of each group.

    The grid has an integer zero point, like llm-awq's (Lin et al., 2023). `group_size` must divide the columns.
    """
    rows, cols = values.shape
    weight = np.empty((rows, cols), dtype=np.uint8)
    scales = np.empty((rows, cols // group_size), dtype=np.float16)
    zeros = np.empty((rows, cols // group_size), dtype=np.uint8)
    for part in _parts(rows, cols):
        groups = values[part].reshape(-1, cols // group_size, group_size)
        # A grid with an integer zero point always contains 0.
        low = np.minimum(groups.min(axis=2), 0)
        high = np.maximum(groups.max(axis=2), 0)
        scales[part] = np.maximum((high - low) / 15, 1e-5 / 15).astype(np.float16)
        step = scales[part].astype(np.float32)
        zeros[part] = np.clip(np.rint(-low / step), 0, 15)
        q = np.rint(groups / step[..., None]) + zeros[part][..., None]
        weight[part] = np.clip(q, 0, 15).reshape(-1, cols)
    return Linear('w4z', rows, cols, group_size, None, weight, scales, zeros=zeros)


def eight_bits(values: Values, group_size: int) -> Linear:
    """Return w8g: float32 [rows, cols] rounded to 255 steps between plus and minus the maximum of each group."""
    rows, cols = values.shape
    weight = np.empty((rows, cols), dtype=np.int8)
    scales = np.empty((rows, cols // group_size), dtype=np.float16)
    for part in _parts(rows, cols):
        groups = values[part].reshape(-1, cols // group_size, group_size)
        wanted = np.maximum(np.abs(groups).max(axis=2) / 127, 2.0 ** -24)  # smallest number of fp16
        nearest = wanted.astype(np.float16)
        # Rounded up: fp16 is coarse for small scales, and a smaller scale would clip the largest weights.
        scales[part] = np.where(nearest < wanted, np.nextafter(nearest, np.float16(np.inf)), nearest)
        step = scales[part].astype(np.float32)
        weight[part] = np.rint(groups / step[..., None]).reshape(-1, cols)
    return Linear('w8g', rows, cols, group_size, None, weight, scales)


def _parts(rows: int, cols: int) -> list[slice]:
    count = max(1, _CHUNK // cols)
    return [slice(first, first + count) for first in range(0, rows, count)]
