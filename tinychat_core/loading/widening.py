# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Widens weights for CUDA: it has no kernels for some formats, so they are converted when a model is loaded."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tinychat_core.checkpoint.formats import FORMATS
from tinychat_core.checkpoint.linear import Linear
from tinychat_core.checkpoint.manifest import Manifest
from tinychat_core.checkpoint.rtn import eight_bits

Array = npt.NDArray[Any]

# Format -> the format in groups of 32 that CUDA reads instead.
_WIDER = {'w4k': 'w4m', 'w5z': 'w8g', 'w5m': 'w8g', 'w5k': 'w8g', 'w6k': 'w8g'}
_GROUP = 32


def is_widened(manifest: Manifest) -> bool:
    """Return whether CUDA has no kernels for some of the weights."""
    return any(entry.format in _WIDER for entry in manifest.tensors.values())


def widened_manifest(manifest: Manifest) -> Manifest:
    """Return the manifest of the weights that CUDA reads."""
    return replace(manifest, tensors={
        name: entry if entry.format not in _WIDER else replace(
            entry, format=_WIDER[entry.format], group_size=_GROUP, layout=FORMATS[_WIDER[entry.format]].layout)
        for name, entry in manifest.tensors.items()})


def widened(linear: Linear) -> Linear:
    """
    Return a matrix in a format that CUDA reads, in the layout of its kernels.

    w5z stays exact. The scales of w4k, products of two numbers, are rounded to fp16; the others are rounded to 8 bits
    in groups of 32, a finer grid than their own. Raises ValueError if fp16 cannot hold a scale of w4k.
    """
    if linear.format not in _WIDER:
        return linear
    plain = replace(linear.unpacked(), order=None)
    if plain.format == 'w5z':
        wide = replace(plain, format='w8g', weight=plain.weight.astype(np.int8) - np.int8(FORMATS['w5z'].center))
    elif plain.format == 'w4k':
        wide = _with_fp16_scales(plain)
    else:
        wide = eight_bits(plain.dequantized(), _GROUP)
    return replace(wide, order=linear.order).packed(FORMATS[wide.format].layout)


def _with_fp16_scales(plain: Linear) -> Linear:
    """Return w4k as w4m; ValueError if a product of its scales is beyond the range of fp16."""
    assert plain.scales is not None and plain.mins is not None and plain.subscales is not None
    subscales = plain.subscales

    def products(blocks: Array, part: int) -> Array:
        spread = np.repeat(blocks.astype(np.float32), plain.groups // blocks.shape[1], axis=1)
        with np.errstate(over='ignore'):
            rounded = (spread * subscales[..., part]).astype(np.float16)
        if not np.isfinite(rounded).all():
            raise ValueError('a scale is beyond the range of fp16, which CUDA needs')
        return rounded

    return replace(plain, format='w4m', scales=products(plain.scales, 0), mins=-products(plain.mins, 1), subscales=None)
