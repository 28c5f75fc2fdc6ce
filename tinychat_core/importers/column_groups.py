# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Which columns of a quantized matrix share a scale, converted to our group sizes of 32, 64 or 128.

A group starts at each multiple of the group size; the last one may be shorter. Where columns are ordered by activation
(GPTQ's desc_act), a stored index gives the group of each column instead.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tinychat_core.importers.quantized_source import QuantizedTensors

Indices = npt.NDArray[np.int32]

_GROUP_SIZES = (128, 64, 32)
WHOLE_ROW = 0  # the group size of rows with one scale


@dataclass(frozen=True)
class ColumnGroups:
    """
    Groups of `size` columns; group i uses scale `source[i]` of the source.

    `order` [cols] sorts the columns so that those of a group are adjacent; None: they already are.
    """

    size: int
    source: npt.NDArray[np.intp]
    order: Indices | None = None


def column_groups(tensors: QuantizedTensors, cols: int, groups: int, allowed: Collection[int] | None,
                  group_of: Indices | None = None) -> ColumnGroups:
    """
    Return how `groups` scales per row cover `cols` columns; TinyChatError where they do not.

    `allowed`: the group sizes of the configuration, which may include WHOLE_ROW; None: it has none. `group_of` [cols]
    is the stored index of each column's group, if there is one.
    """
    if not 1 <= groups <= cols:
        raise tensors.error(f'scales are {groups} for {cols} columns')
    size = _size(tensors, cols, groups, allowed, group_of)
    plain = np.arange(cols, dtype=np.int32) // size
    if group_of is None or np.array_equal(group_of, plain):
        return ColumnGroups(*_blocks(tensors, plain, size))
    if group_of.min() < 0 or group_of.max() >= groups or not np.array_equal(
            np.bincount(group_of, minlength=groups), np.bincount(plain)):
        raise tensors.error(f'g_idx does not name each of {groups} groups for {size} columns; the file is damaged')
    order = np.argsort(group_of, kind='stable').astype(np.int32)
    return ColumnGroups(*_blocks(tensors, plain, size), None if groups == 1 else order)


def _size(tensors: QuantizedTensors, cols: int, groups: int, allowed: Collection[int] | None,
          group_of: Indices | None) -> int:
    """Return the number of columns of every group but the last."""
    if allowed is None:
        if group_of is not None and group_of.min() == 0:
            return int(np.count_nonzero(group_of == 0))
        size = cols // groups
        if groups > 1 and (cols % groups or size & (size - 1)):
            raise tensors.error(f'scales are {groups} for {cols} columns, but the configuration has no group_size; '
                                'add it')
        return size
    sizes = {min(size or cols, cols) for size in allowed}
    fitting = sorted(size for size in sizes if -(-cols // size) == groups)
    if not fitting:
        named = ' or '.join(str(size or -1) for size in sorted(allowed))
        raise tensors.error(f'scales are {groups} for {cols} columns, and group_size = {named} gives another number; '
                            'configuration and weights do not match')
    if len(fitting) > 1 and group_of is not None:
        fitting = [size for size in fitting if size == np.count_nonzero(group_of == 0)] or fitting[:1]
    if len(fitting) > 1:
        raise tensors.error(f'scales are {groups} for {cols} columns, which groups of {fitting[0]} and of {fitting[1]} '
                            'both give; the configuration has both sizes')
    return fitting[0]


def _blocks(tensors: QuantizedTensors, group_of: Indices, size: int) -> tuple[int, npt.NDArray[np.intp]]:
    """Return our group size, and the source's group for each of our groups."""
    cols = len(group_of)
    for ours in _GROUP_SIZES:
        if cols % ours == 0 and (size % ours == 0 or size >= cols):
            return ours, group_of[::ours].astype(np.intp)
    if cols % 32:
        raise tensors.unsupported(f'has {cols} columns; integers are supported for multiples of 32')
    raise tensors.unsupported(f'has groups of {size} columns; supported are 32, 64, 128 and their multiples')
