# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
GGUF's block types without an equivalent format here; ggml's dequantize_row_* define them.

Q5_0 is exact in 8 bits. Q4_K keeps its integers; its scales and minima, products of two numbers, are rounded to fp16.
The others are rounded to 8 bits in groups of 32, which is finer than any of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from tinychat_core.checkpoint.linear import Linear
from tinychat_core.importers import gguf_codebooks
from tinychat_core.importers.rtn import eight_bits

Array = npt.NDArray[Any]
Values = npt.NDArray[np.float32]

# Elements and bytes of a block.
BLOCKS = {'Q5_0': (32, 22), 'Q5_1': (32, 24), 'Q2_K': (256, 84), 'Q3_K': (256, 110), 'Q4_K': (256, 144),
          'Q5_K': (256, 176), 'Q6_K': (256, 210), **gguf_codebooks.BLOCKS}
EXACT = ('Q5_0', *gguf_codebooks.TERNARY)
_SAID = {
    'Q4_K': 'Q4_K keeps its integers; its scales are rounded to fp16',
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
    if kind == 'Q5_0':
        scales = _halves(blocks, 0)
        q = (_five_bits(blocks[:, 6:], blocks[:, 2:6]).astype(np.int8) - 16).reshape(rows, cols)
        return Linear('w8g', rows, cols, 32, None, q, scales.astype(np.float16).reshape(rows, -1))
    if kind == 'Q4_K':
        scales, mins = _scales_and_mins(blocks)
        with np.errstate(over='ignore'):
            s, m = (part.astype(np.float16).reshape(rows, -1) for part in (scales, -mins))
        if not (np.isfinite(s).all() and np.isfinite(m).all()):
            raise ValueError('a scale is beyond the range of fp16')
        return Linear('w4m', rows, cols, 32, None, _nibbles(blocks[:, 16:]).reshape(rows, cols), s, m)
    return eight_bits(_DEQUANTIZE[kind](blocks).reshape(rows, cols), 32)


def _q5_1(blocks: Array) -> Values:
    return _halves(blocks, 0) * _five_bits(blocks[:, 8:], blocks[:, 4:8]) + _halves(blocks, 2)


def _q2_k(blocks: Array) -> Values:
    scales, mins = blocks[:, :16] & 15, blocks[:, :16] >> 4
    q = _pairs_of_bits(blocks[:, 16:80]).reshape(-1, 16, 16)
    return (_halves(blocks, 80) * scales)[..., None] * q - (_halves(blocks, 82) * mins)[..., None]


def _q3_k(blocks: Array) -> Values:
    low = np.concatenate([blocks[:, 96:104] & 15, blocks[:, 96:104] >> 4], axis=1)
    high = np.concatenate([blocks[:, 104:108] >> shift & 3 for shift in (0, 2, 4, 6)], axis=1)
    scales = (low | high << 4).astype(np.int8) - 32
    above = np.stack([blocks[:, :32] >> bit & 1 for bit in range(8)], axis=1).reshape(-1, 16, 16)
    q = _pairs_of_bits(blocks[:, 32:96]).reshape(-1, 16, 16).astype(np.int8) - ((above ^ 1) << 2).astype(np.int8)
    return (_halves(blocks, 108) * scales)[..., None] * q


def _q5_k(blocks: Array) -> Values:
    scales, mins = _scales_and_mins(blocks)
    high = np.stack([blocks[:, 16:48] >> bit & 1 for bit in range(8)], axis=1)
    return scales[..., None] * (_nibbles(blocks[:, 48:]) | high << 4) - mins[..., None]


def _q6_k(blocks: Array) -> Values:
    low = blocks[:, :128].reshape(-1, 2, 1, 64) >> np.array([[0], [4]], dtype=np.uint8) & 15
    q = (low.reshape(-1, 8, 32) | _pairs_of_bits(blocks[:, 128:192]) << 4).astype(np.int8) - 32
    scales = np.ascontiguousarray(blocks[:, 192:208]).view(np.int8)
    return (_halves(blocks, 208) * scales)[..., None] * q.reshape(-1, 16, 16)


_DEQUANTIZE: dict[str, Callable[[Array], Values]] = {
    'Q5_1': _q5_1, 'Q2_K': _q2_k, 'Q3_K': _q3_k, 'Q5_K': _q5_k, 'Q6_K': _q6_k}


def _halves(blocks: Array, at: int) -> Values:
    """Return the fp16 number at an offset of each block, float32 [n, 1]."""
    values = np.ascontiguousarray(blocks[:, at:at + 2]).view(np.float16).astype(np.float32)
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


def _scales_and_mins(blocks: Array) -> tuple[Values, Values]:
    """Return scales and minima [n, 8] of Q4_K and Q5_K: six bits each, packed into twelve bytes."""
    first, second, rest = blocks[:, 4:8], blocks[:, 8:12], blocks[:, 12:16]
    scales = np.concatenate([first & 63, rest & 15 | first >> 2 & 48], axis=1)
    mins = np.concatenate([second & 63, rest >> 4 | second >> 2 & 48], axis=1)
    return _halves(blocks, 0) * scales, _halves(blocks, 2) * mins
