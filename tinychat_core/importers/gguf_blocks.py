# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
GGUF's types with blocks of several parts; ggml's dequantize_row_* define them.

All but Q2_K become formats with the same numbers. Q2_K is rounded to 8 bits in groups of 32, a finer grid than its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from tinychat_core.checkpoint.formats import FORMATS
from tinychat_core.checkpoint.linear import Linear
from tinychat_core.checkpoint.rtn import eight_bits
from tinychat_core.importers import gguf_codebooks

Array = npt.NDArray[Any]
Values = npt.NDArray[np.float32]

# Elements and bytes of a block.
BLOCKS = {'Q5_0': (32, 22), 'Q5_1': (32, 24), 'Q2_K': (256, 84), 'Q3_K': (256, 110), 'Q4_K': (256, 144),
          'Q5_K': (256, 176), 'Q6_K': (256, 210), **gguf_codebooks.BLOCKS}
EXACT = ('Q5_0', 'Q5_1', 'Q3_K', 'Q4_K', 'Q5_K', 'Q6_K', *gguf_codebooks.TERNARY)
_SAID = {
    'IQ4_NL': 'IQ4_NL keeps every number, in eight bits instead of four',
    'IQ4_XS': 'IQ4_XS keeps its integers, in eight bits instead of four; its scales are rounded to fp16',
    'MXFP4': 'MXFP4 keeps its numbers (to 6e-8), in eight bits instead of four',
}


def said(kind: str) -> str:
    """Return the warning for a type that is not converted exactly."""
    return _SAID.get(kind, f'{kind} is rounded to eight bits in groups of 32')


def matrix(kind: str, rows: int, cols: int, blocks: Array) -> Linear:
    """Return the matrix of blocks uint8 [n, bytes]; ValueError where a scale is not finite."""
    if kind in gguf_codebooks.BLOCKS:
        return gguf_codebooks.matrix(kind, rows, cols, blocks)
    parts = _PARTS.get(kind)
    if parts is None:
        return eight_bits(_q2_k(blocks).reshape(rows, cols), 32)
    format_, q, scales, mins, subscales = parts(blocks)
    groups = cols // (FORMATS[format_].group or 32)
    return Linear(format_, rows, cols, cols // groups, None, q.reshape(rows, cols), scales.reshape(rows, -1),
                  None if mins is None else mins.reshape(rows, -1),
                  subscales=None if subscales is None else subscales.reshape(rows, groups, *subscales.shape[2:]))


# Format, integers, scales, minima and subscales of blocks.
_Parts = tuple[str, Array, Array, Array | None, Array | None]


def _q5_0(blocks: Array) -> _Parts:
    return 'w5z', _five_bits(blocks[:, 6:], blocks[:, 2:6]), _halves(blocks, 0), None, None


def _q5_1(blocks: Array) -> _Parts:
    return 'w5m', _five_bits(blocks[:, 8:], blocks[:, 4:8]), _halves(blocks, 0), _halves(blocks, 2), None


def _q2_k(blocks: Array) -> Values:
    scales, mins = blocks[:, :16] & 15, blocks[:, :16] >> 4
    q = _pairs_of_bits(blocks[:, 16:80]).reshape(-1, 16, 16)
    d, e = (_halves(blocks, at).astype(np.float32) for at in (80, 82))
    return (d * scales)[..., None] * q - (e * mins)[..., None]


def _q3_k(blocks: Array) -> _Parts:
    low = np.concatenate([blocks[:, 96:104] & 15, blocks[:, 96:104] >> 4], axis=1)
    high = np.concatenate([blocks[:, 104:108] >> shift & 3 for shift in (0, 2, 4, 6)], axis=1)
    above = np.stack([blocks[:, :32] >> bit & 1 for bit in range(8)], axis=1)
    # The fourth of its values is 0 here, and that of w6k's is the 32nd.
    q = _pairs_of_bits(blocks[:, 32:96]) + (above << 2) + 28
    return 'w6k', q, _halves(blocks, 108), None, (low | high << 4).astype(np.int8) - 32


def _q4_k(blocks: Array) -> _Parts:
    return 'w4k', _nibbles(blocks[:, 16:]), _halves(blocks, 0), _halves(blocks, 2), _six_bits(blocks)


def _q5_k(blocks: Array) -> _Parts:
    high = np.stack([blocks[:, 16:48] >> bit & 1 for bit in range(8)], axis=1)
    return 'w5k', _nibbles(blocks[:, 48:]) | high << 4, _halves(blocks, 0), _halves(blocks, 2), _six_bits(blocks)


def _q6_k(blocks: Array) -> _Parts:
    low = blocks[:, :128].reshape(-1, 2, 1, 64) >> np.array([[0], [4]], dtype=np.uint8) & 15
    q = low.reshape(-1, 8, 32) | _pairs_of_bits(blocks[:, 128:192]) << 4
    return 'w6k', q, _halves(blocks, 208), None, np.ascontiguousarray(blocks[:, 192:208]).view(np.int8)


_PARTS: dict[str, Callable[[Array], _Parts]] = {
    'Q5_0': _q5_0, 'Q5_1': _q5_1, 'Q3_K': _q3_k, 'Q4_K': _q4_k, 'Q5_K': _q5_k, 'Q6_K': _q6_k}


def _halves(blocks: Array, at: int) -> Array:
    """Return the fp16 number at an offset of each block, [n, 1]."""
    values = np.ascontiguousarray(blocks[:, at:at + 2]).view(np.float16)
    if not np.isfinite(values).all():
        raise ValueError('a scale is not a finite number')
    return values


def _five_bits(nibbles: Array, high: Array) -> Array:
    """Return the elements of a block of 32 from 16 bytes of low nibbles and 32 high bits."""
    return np.concatenate([nibbles & 15, nibbles >> 4], axis=1) | np.unpackbits(high, axis=1, bitorder='little') << 4


def _nibbles(octets: Array) -> Array:
    """Return [n, 8, 32] from 128 bytes: for each 32 bytes first all low nibbles, then all high ones."""
    return (octets.reshape(-1, 4, 1, 32) >> np.array([[0], [4]], dtype=np.uint8) & 15).reshape(-1, 8, 32)


def _pairs_of_bits(octets: Array) -> Array:
    """Return [n, 8, 32] from 64 bytes: for each 32 bytes first all lowest pairs of bits, and so on."""
    return (octets.reshape(-1, 2, 1, 32) >> np.array([[0], [2], [4], [6]], dtype=np.uint8) & 3).reshape(-1, 8, 32)


def _six_bits(blocks: Array) -> Array:
    """Return scales and minima [n, 8, 2] of Q4_K and Q5_K: six bits each, packed into twelve bytes."""
    first, second, rest = blocks[:, 4:8], blocks[:, 8:12], blocks[:, 12:16]
    scales = np.concatenate([first & 63, rest & 15 | first >> 2 & 48], axis=1)
    mins = np.concatenate([second & 63, rest >> 4 | second >> 2 & 48], axis=1)
    return np.stack([scales, mins], axis=2)
