# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A model in each weight format answers like the same numbers in fp16, also where q, k and v have different formats."""
from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from random_matrix import random_matrix

from tinychat_core.checkpoint.formats import FORMATS
from tinychat_core.checkpoint.linear import Linear
from tinychat_core.checkpoint.model_config import ModelConfig
from tinychat_core.engine import Engine

VOCAB, WIDTH, KV = 270, 256, 64
QKV = 'layers.0.attn.qkv'
MODEL = ModelConfig.from_json({
    'vocab_size': VOCAB, 'hidden_size': WIDTH, 'intermediate_size': WIDTH, 'layers': 1, 'heads': 8, 'kv_heads': 2,
    'head_dim': 32, 'context_length': 64, 'norm': 'rms', 'norm_eps': 1e-5, 'activation': 'silu',
    'gated': True, 'rope': {'theta': 10000.0, 'dim': 32}, 'tied_head': True, 'bos_token_id': None,
    'eos_token_ids': [256],
})
FORMATS_OF_INTEGERS = [name for name, form in FORMATS.items() if form.bits < 16 and name != 'w8c']


def matrix(format_: str, rows: int, seed: int) -> Linear:
    """Return random weights that fp16 holds: scales are powers of two, subscales have two bits."""
    form, random = FORMATS[format_], np.random.default_rng(seed)
    made = random_matrix(format_, rows, WIDTH * 32 // (form.block or 32), 32, seed)
    assert made.scales is not None
    least = {4: -9, 5: -10, 6: -11, 8: -12}[form.bits]
    made.scales[:] = np.exp2(random.integers(least, least + 3, made.scales.shape))
    if made.mins is not None:
        made.mins[:] = np.exp2(random.integers(-8, -5, made.mins.shape)) * (1 if form.block else -1)
    if made.subscales is not None:
        made.subscales[:] = random.integers(0 if form.mins else -3, 4, made.subscales.shape)
    return made


def native(linear: Linear) -> dict[str, Any]:
    arrays = linear.packed(FORMATS[linear.format].layout).arrays()
    arrays['weight'] = arrays.pop(FORMATS[linear.format].weight_name)
    return {'format': linear.format, 'rows': linear.rows, 'cols': linear.cols, 'group_size': linear.group_size,
            **arrays}


def in_fp16(parts: list[Linear]) -> dict[str, Any]:
    values = np.concatenate([part.dequantized() for part in parts])
    half = values.astype(np.float16)
    assert np.array_equal(half.astype(np.float32), values)
    linear = native(Linear('f16', len(half), WIDTH, 0, None, half))
    del linear['group_size']
    return linear


def logits(tensors: dict[str, Any], weights: str, precision: str) -> npt.NDArray[np.float32]:
    """Return the logits after a prompt and after two more tokens, which are multiplied in another way."""
    engine = Engine(MODEL, tensors, weights=weights, precision=precision, backend='cpu', threads=2)
    cache = engine.new_cache()
    found = [engine.prefill(cache, [int(token) for token in np.random.default_rng(0).integers(0, VOCAB, 40)])]
    found += [engine.decode(cache, token) for token in (7, 266)]
    engine.close()
    return np.stack(found)


def assert_like_fp16(parts: dict[str, list[Linear]]) -> None:
    vectors = {f'{name}.weight': np.ones(WIDTH, np.float32) for name in (
        'norm', 'layers.0.attn_norm', 'layers.0.mlp_norm')}
    vectors['layers.0.attn.qkv.bias'] = np.linspace(-1, 1, WIDTH + 2 * KV).astype(np.float32)
    plain = {name: in_fp16(matrices) for name, matrices in parts.items()}
    ours = {f'{name}.{i}' if len(matrices) > 1 else name: native(part)
            for name, matrices in parts.items() for i, part in enumerate(matrices)}
    wanted = logits({**plain, **vectors}, 'W16', 'W16A16')
    assert np.abs(wanted).max() > 0.5
    for precision, bound in (('W4A16', 1e-5), ('W4', 5e-3), ('W4A8', 5e-2)):
        found = logits({**ours, **vectors}, 'W4', precision)
        assert np.abs(found - wanted).max() <= bound * np.abs(wanted).max(), precision


@pytest.mark.parametrize('format_', FORMATS_OF_INTEGERS)
def test_every_matrix_in_a_format(format_: str) -> None:
    shapes = {'embedding': VOCAB, 'layers.0.attn.qkv': WIDTH + 2 * KV, 'layers.0.attn.o': WIDTH,
              'layers.0.mlp.gate_up': 2 * WIDTH, 'layers.0.mlp.down': WIDTH}
    assert_like_fp16({name: [matrix(format_, rows, seed)] for seed, (name, rows) in enumerate(shapes.items())})


@pytest.mark.parametrize(('qkv', 'gate_up'), [
    (('w4k', 'w4k', 'w6k'), ('w4k', 'w4k')), (('w5z', 'w5k', 'w8g'), ('w6k', 'w5m')),
    (('f16', 'w4z', 'bf16'), ('w4m', 'f16'))])
def test_parts_of_different_formats(qkv: tuple[str, ...], gate_up: tuple[str, ...]) -> None:
    def part(format_: str, rows: int, seed: int) -> Linear:
        if format_ == 'f16':
            return Linear('f16', rows, WIDTH, 0, None, matrix('w8g', rows, seed).dequantized().astype(np.float16))
        if format_ == 'bf16':
            return Linear('f32', rows, WIDTH, 0, None, matrix('w4z', rows, seed).dequantized()).in_16_bits()
        return matrix(format_, rows, seed)

    rows = zip(qkv, (WIDTH, KV, KV), strict=True)
    assert_like_fp16({
        'embedding': [matrix('w6k', VOCAB, 0)],
        'layers.0.attn.qkv': [part(name, count, i) for i, (name, count) in enumerate(rows)],
        'layers.0.attn.o': [matrix('w5z', WIDTH, 5)],
        'layers.0.mlp.gate_up': [part(name, WIDTH, 6 + i) for i, name in enumerate(gate_up)],
        'layers.0.mlp.down': [matrix('w6k', WIDTH, 8)]})


@pytest.mark.parametrize(('change', 'message'), [
    (lambda tensors: tensors.pop(f'{QKV}.1'), r'parts of tensor layers\.0\.attn\.qkv do not have its 384 rows'),
    (lambda tensors: tensors.update({QKV: tensors[f'{QKV}.0']}), 'is there, and its parts, too'),
    (lambda tensors: tensors.update({f'{QKV}.2': tensors[f'{QKV}.0']}), 'is not a part of a matrix'),
])
def test_parts_that_are_not_the_matrix(change: Any, message: str) -> None:
    tensors: dict[str, Any] = {f'{name}.weight': np.ones(WIDTH, np.float32) for name in (
        'norm', 'layers.0.attn_norm', 'layers.0.mlp_norm')}
    tensors |= {name: native(matrix('w4k', rows, 0)) for name, rows in {
        'embedding': VOCAB, 'layers.0.attn.o': WIDTH, 'layers.0.mlp.gate_up': 2 * WIDTH, 'layers.0.mlp.down': WIDTH,
        'layers.0.attn.qkv.0': WIDTH, 'layers.0.attn.qkv.1': 2 * KV}.items()}
    change(tensors)
    with pytest.raises(ValueError, match=message):
        Engine(MODEL, tensors, weights='W4', backend='cpu', threads=1)
