# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Converts the tensors of a checkpoint to those that the native decoder reads."""
from __future__ import annotations

from typing import Any

import numpy as np

from tinychat_core.loading.reader import Checkpoint
from tinychat_core.loading.widening import widened


def native_tensor(checkpoint: Checkpoint, name: str, widens: bool = False) -> Any:
    """Return a tensor for the native decoder: a float32 vector, or a dictionary of a matrix's arrays."""
    entry = checkpoint.manifest.tensors[name]
    if entry.format == 'f32':
        return checkpoint.array(name)
    linear = widened(checkpoint.linear(name)) if widens else checkpoint.linear(name)
    tensor: dict[str, Any] = {'format': linear.format, 'rows': linear.rows, 'cols': linear.cols}
    if linear.group_size:
        tensor['group_size'] = linear.group_size
    for key, array in (('weight', linear.weight), ('scales', linear.scales), ('mins', linear.mins),
                       ('zeros', linear.zeros), ('subscales', linear.subscales)):
        if array is not None:
            tensor[key] = array
    return tensor


def without_needless_zeros(tensor: Any) -> Any:
    """Remove the zero points of symmetric 4-bit weights, which are all 8: the CPU's kernels then use 8."""
    if isinstance(tensor, dict) and 'zeros' in tensor and np.all(tensor['zeros'] == 0x88):
        return {name: part for name, part in tensor.items() if name != 'zeros'}
    return tensor


def nbytes(tensor: Any) -> int:
    """Return the bytes of a tensor's arrays."""
    arrays = tensor.values() if isinstance(tensor, dict) else [tensor]
    return sum(array.nbytes for array in arrays if isinstance(array, np.ndarray))
