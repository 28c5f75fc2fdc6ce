# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Groups of columns of packed matrices: a last one that is shorter, and a group_size that does not fit the tensors."""
from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from importing import imported, refused
import numpy as np
import packed_formats as packed
from packed_formats import AWQ, GPTQ, GPTQ8, W4A16, W8A16
import pytest
from small_huggingface import expected, save, SHAPES
import torch

AUTO_ROUND = {'quant_method': 'auto-round', 'bits': 4, 'sym': True, 'packing_format': 'auto_round:auto_gptq'}


def in_groups(config: dict[str, Any], size: int) -> dict[str, Any]:
    """Return a configuration with this group size, wherever its tool writes it."""
    if 'config_groups' not in config:
        return {**config, 'group_size': size}
    scheme = {'strategy': 'group', 'group_size': size}
    return {**config, 'config_groups': {name: {**group, 'weights': {**group['weights'], **scheme}}
                                        for name, group in config['config_groups'].items()}}


FORMATS: dict[str, tuple[dict[str, Any], Any, dict[str, Any]]] = {
    'awq gemm': (AWQ, packed.awq_gemm, {}),
    'awq gemv': ({**AWQ, 'version': 'gemv'}, packed.awq_gemv, {}),
    'gptq': (GPTQ, packed.gptq, {}),
    'gptq without g_idx': (GPTQ, partial(packed.gptq, index=False), {}),
    'gptq 8 bits': (GPTQ8, partial(packed.gptq, bits=8), {'bits': 8, 'symmetric': True}),
    'W4A16': (W4A16, packed.compressed_packed, {}),
    'W8A16': (W8A16, partial(packed.compressed_packed, bits=8, zero_points=False), {'bits': 8, 'symmetric': True}),
    'auto-round': (AUTO_ROUND, partial(packed.gptq, index=False), {'symmetric': True}),
    'auto-round awq': ({**AUTO_ROUND, 'packing_format': 'auto_round:auto_awq'}, packed.awq_gemm, {'symmetric': True}),
}
# Widths of the feed-forward part, and a group size that does not divide each.
RAGGED = [(192, 128), (576, 256), (896, 256), (960, 512)]


def shapes(inner: int) -> dict[str, tuple[int, ...]]:
    return {name: tuple(inner if n == 96 else n for n in shape) for name, shape in SHAPES.items()}


@pytest.mark.parametrize('kind', FORMATS)
@pytest.mark.parametrize(('inner', 'size'), RAGGED)
def test_the_last_group_may_be_shorter(tmp_path: Path, kind: str, inner: int, size: int) -> None:
    config, pack, options = FORMATS[kind]
    made, means = packed.model(pack, size, shapes(inner), **options)
    checkpoint = imported(tmp_path, save(tmp_path / 'theirs', made, {
        'intermediate_size': inner, 'quantization_config': in_groups(config, size)}))
    assert checkpoint.manifest.tensors['layers.1.mlp.down'].group_size == 64 if inner != 896 else 128
    for name in ('layers.1.attn.qkv', 'layers.1.mlp.gate_up', 'layers.1.mlp.down'):
        assert np.array_equal(checkpoint.linear(name).dequantized(), expected(means, name)), name


@pytest.mark.parametrize('kind', FORMATS)
@pytest.mark.parametrize('size', [32, 48, 64])
def test_a_group_size_that_does_not_fit_the_tensors_is_refused(tmp_path: Path, kind: str, size: int) -> None:
    """192 columns in groups of 128, which halves would also be."""
    config, pack, options = FORMATS[kind]
    made, _ = packed.model(pack, 128, shapes(192), **options)
    message = refused(tmp_path, save(tmp_path / 'theirs', made, {
        'intermediate_size': 192, 'quantization_config': in_groups(config, size)}))
    assert f'and group_size = {size} gives another number' in message or 'supported are 32, 64, 128' in message


@pytest.mark.parametrize('kind', [kind for kind in FORMATS if kind not in ('gptq', 'gptq 8 bits')])
def test_a_cut_that_no_group_size_tells_is_refused(tmp_path: Path, kind: str) -> None:
    config, pack, options = FORMATS[kind]
    made, _ = packed.model(pack, 128, shapes(192), **options)
    config = {name: value for name, value in config.items() if name != 'group_size'}
    message = refused(tmp_path, save(tmp_path / 'theirs', made, {
        'intermediate_size': 192, 'quantization_config': config}))
    assert 'scales are 2 for 192 columns, but the configuration has no group_size' in message


def test_what_llm_awq_packed_in_groups_that_nothing_tells_is_refused(tmp_path: Path) -> None:
    made, _ = packed.model(packed.awq_gemv, 128, shapes(192))
    directory = save(tmp_path / 'theirs', {'none': torch.zeros(1)}, {'intermediate_size': 192})
    torch.save(made, tmp_path / 'packed.pt')
    message = refused(tmp_path, directory, packed=tmp_path / 'packed.pt')
    assert 'the configuration has no group_size' in message


def test_what_llm_awq_packed_is_held_to_the_group_size_beside_it(tmp_path: Path) -> None:
    made, means = packed.model(packed.awq_gemv, 128, shapes(192))
    directory = save(tmp_path / 'theirs', {'none': torch.zeros(1)}, {'intermediate_size': 192})
    (directory / 'quant_config.json').write_text('{"w_bit": 4, "q_group_size": 128, "version": "gemv"}')
    torch.save(made, tmp_path / 'packed.pt')
    linear = imported(tmp_path, directory, packed=tmp_path / 'packed.pt').linear('layers.1.mlp.down')
    assert np.array_equal(linear.dequantized(), expected(means, 'layers.1.mlp.down'))


def test_parts_of_one_matrix_in_different_groups_keep_every_number(tmp_path: Path) -> None:
    """Mixed settings (GPTQModel's `dynamic`): q in groups of 64, k and v of 32, the rest of 64."""
    wide = {name: tuple(2 * n for n in shape) for name, shape in SHAPES.items()}
    wide['model.embed_tokens.weight'] = wide['lm_head.weight'] = (270, 128)
    made, means = packed.model(packed.gptq, 64, wide)
    small, small_means = packed.model(packed.gptq, 32, wide)
    for name in [name for name in made if 'k_proj' in name or 'v_proj' in name]:
        made[name] = small[name]
    means |= {name: value for name, value in small_means.items() if 'k_proj' in name or 'v_proj' in name}
    config = {**GPTQ, 'group_size': 64, 'dynamic': {'+:.*[kv]_proj': {'group_size': 32}, '-:.*none.*': {}}}
    checkpoint = imported(tmp_path, save(tmp_path / 'theirs', made, {
        'hidden_size': 128, 'intermediate_size': 192, 'quantization_config': config}))
    linear = checkpoint.linear('layers.1.attn.qkv')
    assert (linear.format, linear.group_size) == ('w4z', 32)
    assert np.array_equal(linear.dequantized(), expected(means, 'layers.1.attn.qkv'))


@pytest.mark.parametrize(('size', 'why'), [
    (-2, 'group_size = -2 is not supported'), (10 ** 30, 'is not supported'), (0.5, 'is not a whole number'),
    ('128', "group_size = '128' is not a whole number"), (True, 'group_size = True is not a whole number'),
    ([32], 'is not a whole number')])
@pytest.mark.parametrize('kind', FORMATS)
def test_a_group_size_of_another_kind(tmp_path: Path, kind: str, size: Any, why: str) -> None:
    config, pack, options = FORMATS[kind]
    made, _ = packed.model(pack, 32, **options)
    assert why in refused(tmp_path, save(tmp_path / 'theirs', made, {'quantization_config': in_groups(config, size)}))
