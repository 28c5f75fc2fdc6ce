# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""GGUF's K-quants and five bits: against straight loops over the fields of a block, as ggml describes them."""
from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tinychat_core.importers import gguf_blocks

Array = npt.NDArray[Any]
# Where the fp16 numbers of a block are.
HALVES = {'Q5_0': [0], 'Q5_1': [0, 2], 'Q2_K': [80, 82], 'Q3_K': [108], 'Q4_K': [0, 2], 'Q5_K': [0, 2], 'Q6_K': [208],
          'IQ4_NL': [0], 'IQ4_XS': [0], 'MXFP4': [], 'TQ1_0': [52], 'TQ2_0': [64]}
IQ4 = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)
E2M1 = (0, 0.5, 1, 1.5, 2, 3, 4, 6)
FORMATS = {'Q5_0': ('w5z', 32), 'Q5_1': ('w5m', 32), 'Q3_K': ('w6k', 16), 'Q4_K': ('w4k', 32), 'Q5_K': ('w5k', 32),
           'Q6_K': ('w6k', 16), 'TQ1_0': ('w4z', 128), 'TQ2_0': ('w4z', 128)}
ROWS, COLS = 3, 512


def blocks(kind: str) -> Array:
    random = np.random.default_rng(0)
    numbers, size = gguf_blocks.BLOCKS[kind]
    raw = random.integers(0, 256, (ROWS * COLS // numbers, size), dtype=np.uint8)
    for at in HALVES[kind]:
        raw[:, at:at + 2] = random.uniform(0.001, 0.1, len(raw)).astype(np.float16).view(np.uint8).reshape(-1, 2)
    if kind == 'MXFP4':
        raw[:, 0] = random.integers(127 - 23, 127 + 16, len(raw))
    if kind == 'TQ2_0':  # a pair of bits is 0, 1 or 2
        raw[:, :64] &= ~(raw[:, :64] >> 1 & 0x55)
    return raw


def half(block: Array, at: int) -> float:
    return float(np.frombuffer(block[at:at + 2].tobytes(), np.float16)[0])


def six_bits(block: Array, j: int) -> tuple[int, int]:
    """Return the scale and the minimum of group j of Q4_K and Q5_K."""
    q = [int(octet) for octet in block[4:16]]
    if j < 4:
        return q[j] & 63, q[j + 4] & 63
    return q[j + 4] & 15 | (q[j - 4] >> 6) << 4, q[j + 4] >> 4 | (q[j] >> 6) << 4


def number(kind: str, b: Array, i: int) -> float:
    """Return the i-th number of a block."""
    if kind in ('Q5_0', 'Q5_1'):
        first = 6 if kind == 'Q5_0' else 8
        q = int(b[first + i % 16]) >> 4 * (i // 16) & 15 | (int(b[first - 4 + i // 8]) >> i % 8 & 1) << 4
        return half(b, 0) * (q - 16) if kind == 'Q5_0' else half(b, 0) * q + half(b, 2)
    if kind == 'IQ4_NL':
        return half(b, 0) * IQ4[int(b[2 + i % 16]) >> 4 * (i // 16) & 15]
    if kind == 'MXFP4':
        code = int(b[1 + i % 16]) >> 4 * (i // 16) & 15
        return 2.0 ** (int(b[0]) - 127) * (-1 if code & 8 else 1) * E2M1[code & 7]
    if kind == 'IQ4_XS':
        j = i // 32
        scale = int(b[4 + j // 2]) >> 4 * (j % 2) & 15 | (int(b[2 + j // 4]) >> 2 * (j % 4) & 3) << 4
        return half(b, 0) * (scale - 32) * IQ4[int(b[8 + 16 * j + i % 16]) >> 4 * (i % 32 // 16) & 15]
    if kind == 'TQ2_0':
        return half(b, 64) * ((int(b[32 * (i // 128) + i % 32]) >> 2 * (i % 128 // 32) & 3) - 1)
    if kind == 'TQ1_0':
        place, digit = (i % 32, i // 32) if i < 160 else (32 + i % 16, (i - 160) // 16) if i < 240 else (
            48 + i % 4, (i - 240) // 4)
        return half(b, 52) * ((int(b[place]) * 3 ** digit % 256 * 3 >> 8) - 1)
    part, group, lane = i // 128, i // 32, i % 32
    pair = 2 * (group % 4)
    if kind == 'Q2_K':
        scale = int(b[i // 16])
        return half(b, 80) * (scale & 15) * (int(b[16 + 32 * part + lane]) >> pair & 3) - half(b, 82) * (scale >> 4)
    if kind == 'Q3_K':
        j = i // 16
        scale = int(b[96 + j % 8]) >> 4 * (j // 8) & 15 | (int(b[104 + j % 4]) >> 2 * (j // 4) & 3) << 4
        q = (int(b[32 + 32 * part + lane]) >> pair & 3) - (0 if int(b[lane]) >> group & 1 else 4)
        return half(b, 108) * (scale - 32) * q
    if kind == 'Q6_K':
        q = int(b[64 * part + i % 64]) >> 4 * (i % 128 // 64) & 15 | (int(b[128 + 32 * part + lane]) >> pair & 3) << 4
        return half(b, 208) * int(b[192 + i // 16].view(np.int8)) * (q - 32)
    scale, low = six_bits(b, group)
    if kind == 'Q4_K':
        q = int(b[16 + 32 * (group // 2) + lane]) >> 4 * (group % 2) & 15
    else:
        q = int(b[48 + 32 * (group // 2) + lane]) >> 4 * (group % 2) & 15 | (int(b[16 + lane]) >> group & 1) << 4
    return half(b, 0) * scale * q - half(b, 2) * low


@pytest.mark.parametrize('kind', gguf_blocks.BLOCKS)
def test_every_number_is_there(kind: str) -> None:
    raw = blocks(kind)
    numbers = gguf_blocks.BLOCKS[kind][0]
    wanted = np.array([number(kind, block, i) for block in raw for i in range(numbers)]).reshape(ROWS, COLS)
    found = gguf_blocks.matrix(kind, ROWS, COLS, raw)
    groups = np.maximum(np.abs(wanted).reshape(ROWS, -1, 32).max(axis=2, keepdims=True), 1e-30)
    error = np.abs(found.dequantized() - wanted).reshape(ROWS, -1, 32) / groups
    # In float32. Q2_K: half a step of eight bits; IQ4_XS: its scales, products of two numbers, are rounded to fp16.
    assert error.max() <= {'Q2_K': 0.504 / 127, 'IQ4_XS': 2 ** -11}.get(kind, 2 ** -22)
    assert (found.format, found.group_size) == FORMATS.get(kind, ('w8g', 32))


@pytest.mark.parametrize('exponent', [127 - 30, 127 + 18])
def test_scales_of_mxfp4_outside_fp16(exponent: int) -> None:
    raw = blocks('MXFP4')
    raw[:, 0] = exponent
    wanted = np.array([number('MXFP4', block, i) for block in raw for i in range(32)]).reshape(ROWS, COLS)
    found = gguf_blocks.matrix('MXFP4', ROWS, COLS, raw).dequantized()
    assert np.abs(found - wanted).max() <= (2.0 ** -25 if exponent < 127 else 0)


@pytest.mark.parametrize('exponent', [127 + 40, 255])
def test_a_scale_of_mxfp4_that_nothing_holds(exponent: int) -> None:
    raw = blocks('MXFP4')
    raw[1, 0] = exponent
    with pytest.raises(ValueError, match='beyond the range of fp16'):
        gguf_blocks.matrix('MXFP4', ROWS, COLS, raw)


def test_a_ternary_number_that_is_none() -> None:
    raw = blocks('TQ2_0')
    raw[1, 7] = 0xff
    with pytest.raises(ValueError, match='a ternary number is 2'):
        gguf_blocks.matrix('TQ2_0', ROWS, COLS, raw)


@pytest.mark.parametrize('kind', [kind for kind in gguf_blocks.BLOCKS if HALVES[kind]])
def test_scales_that_are_not_finite(kind: str) -> None:
    raw = blocks(kind)
    raw[1, HALVES[kind][0]:HALVES[kind][0] + 2] = np.array(np.nan, np.float16).reshape(1).view(np.uint8)
    with pytest.raises(ValueError, match='not a finite number'):
        gguf_blocks.matrix(kind, ROWS, COLS, raw)
