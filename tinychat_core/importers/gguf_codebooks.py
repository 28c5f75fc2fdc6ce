# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
GGUF's block types with a codebook: 4-bit indices of 16 values, and ternary weights -1, 0 and 1.

The values are integers, so 8 bits represent a codebook exactly, and 4 bits ternary weights. ggml's dequantize_row_* and
kvalues_* define them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tinychat_core.checkpoint.linear import Linear

Array = npt.NDArray[Any]

# Elements and bytes of a block.
BLOCKS = {'IQ4_NL': (32, 18), 'IQ4_XS': (256, 136), 'MXFP4': (32, 17), 'TQ1_0': (256, 54), 'TQ2_0': (256, 66)}
TERNARY = ('TQ1_0', 'TQ2_0')
_TERNARY_GROUP = 128  # our largest group; a block has one scale for 256 elements

_IQ4 = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], dtype=np.int8)
_MXFP4 = np.array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12], dtype=np.int8)  # doubled


def matrix(kind: str, rows: int, cols: int, blocks: Array) -> Linear:
    """Return blocks uint8 [n, bytes] as w8g, ternary ones as w4z; ValueError where fp16 cannot hold a scale."""
    if kind in TERNARY:
        q = _base_three(blocks) if kind == 'TQ1_0' else _pairs_of_bits(blocks[:, :64])
        halves = _halves(blocks, 52 if kind == 'TQ1_0' else 64)
        scales = np.repeat(halves, 256 // _TERNARY_GROUP, axis=1).reshape(rows, -1)
        zeros = np.ones(scales.shape, dtype=np.uint8)
        return Linear('w4z', rows, cols, _TERNARY_GROUP, None, q.reshape(rows, cols), scales, zeros=zeros)
    if kind == 'MXFP4':
        q, scales = _mxfp4(blocks)
    elif kind == 'IQ4_NL':
        q, scales = _IQ4[_nibbles(blocks[:, 2:])], _halves(blocks, 0)
    else:
        q, scales = _IQ4[_nibbles(blocks[:, 8:])], _iq4_xs_scales(blocks)
    if not np.isfinite(scales).all():
        raise ValueError('a scale is not a finite number of fp16')
    return Linear('w8g', rows, cols, 32, None, q.reshape(rows, cols), scales.reshape(rows, -1))


def _mxfp4(blocks: Array) -> tuple[Array, Array]:
    """Return doubled values and half the scale 2^(e - 127), shifting the values where fp16 cannot hold the scale."""
    wanted = blocks[:, :1].astype(np.int32) - 128
    exponent = np.clip(wanted, -24, 15)
    doubled = _MXFP4[_nibbles(blocks[:, 1:])].reshape(len(blocks), 32)
    q = np.rint(doubled * np.exp2((wanted - exponent).astype(np.float64)))
    if np.abs(q).max(initial=0) > 127:
        raise ValueError('a scale is beyond the range of fp16')
    return q.astype(np.int8), np.exp2(exponent).astype(np.float16)


def _iq4_xs_scales(blocks: Array) -> Array:
    """Return the products of the block's scale with eight of six bits: four in `scales_l`, two in `scales_h`."""
    low = (blocks[:, 4:8, None] >> np.array([0, 4], dtype=np.uint8) & 15).reshape(-1, 8)
    high = (blocks[:, 2:4, None] >> np.array([0, 2, 4, 6], dtype=np.uint8) & 3).reshape(-1, 8)
    with np.errstate(over='ignore', invalid='ignore'):
        products = _halves(blocks, 0).astype(np.float32) * ((low | high << 4).astype(np.int8) - 32)
        return products.astype(np.float16)


def _base_three(blocks: Array) -> Array:
    """Return [n, 256] of TQ1_0: a byte holds five base-3 digits, each of the last four bytes four."""
    def digits(part: Array, width: int, count: int) -> Array:
        powers = (3 ** np.arange(count)).astype(np.uint8)[:, None]
        shifted = part.reshape(len(part), -1, 1, width) * powers  # the overflow of uint8 is intended
        return (shifted.astype(np.uint16) * 3 >> 8).astype(np.uint8).reshape(len(part), -1)

    fives, more, fours = digits(blocks[:, :32], 32, 5), digits(blocks[:, 32:48], 16, 5), digits(blocks[:, 48:52], 4, 4)
    return np.concatenate([fives, more, fours], axis=1)


def _pairs_of_bits(octets: Array) -> Array:
    """Return [n, 256] from 64 bytes: for each 32 bytes first all lowest pairs of bits, and so on."""
    pairs = octets.reshape(len(octets), 2, 1, 32) >> np.array([[0], [2], [4], [6]], dtype=np.uint8) & 3
    if (pairs == 3).any():
        raise ValueError('a ternary number is 2')
    return pairs.reshape(len(octets), 256)


def _nibbles(octets: Array) -> Array:
    """Return the nibbles of runs of 16 bytes: for each run first all low ones, then all high ones."""
    return octets.reshape(len(octets), -1, 1, 16) >> np.array([[0], [4]], dtype=np.uint8) & 15


def _halves(blocks: Array, at: int) -> Array:
    """Return the fp16 number at an offset of each block, [n, 1]; ValueError where one is not finite."""
    values = np.ascontiguousarray(blocks[:, at:at + 2]).view(np.float16)
    if not np.isfinite(values).all():
        raise ValueError('a scale is not a finite number')
    return values
