# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The shapes of `tinychat bench --shape`: the models that they are called after, to the last parameter and byte."""
from __future__ import annotations

import json
import sys
import tracemalloc
from typing import Any

import numpy as np
import pytest

from tinychat_core.bench.shapes import manifest, random_tensors, shape_config, SHAPES
from tinychat_core.checkpoint.manifest import Manifest
from tinychat_core.checkpoint.tensor_names import check_tensor_names
from tinychat_core.cli import main
from tinychat_core.loading import memory_plan, system_memory

# Parameters as they are published; of LLaMA-30B its embedding, head, last norm and one layer.
PARAMETERS = {
    'smollm2-135m': 134_515_008, 'qwen2.5-0.5b': 494_032_768, 'qwen2.5-1.5b': 1_543_714_304,
    'qwen2.5-7b': 7_615_616_512, 'llama-2-7b': 6_738_415_616, 'vicuna-7b': 6_738_415_616,
    'llama-2-13b': 13_015_864_320, 'vicuna-13b': 13_015_864_320, 'llama-2-70b': 68_976_648_192,
    'llama-30b': 2 * 32000 * 6656 + 6656 + 4 * 6656 * 6656 + 3 * 6656 * 17920 + 2 * 6656,
    'llama-3-8b': 8_030_261_248, 'mpt-7b': 6_649_286_656, 'mpt-30b': 29_957_200_896, 'falcon-7b': 6_921_720_704,
}
FITTING = [name for name in SHAPES if name != 'llama-2-70b']


def test_a_picture_that_cannot_be_drawn_is_refused_before_anything_is_measured(
        monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, 'matplotlib', None)
    assert main(['bench', '--shape', 'smollm2-135m', '--plot', 'speed.png']) == 2
    output = capsys.readouterr()
    assert (output.out, output.err) == ('', 'tinychat: error: --plot needs matplotlib: pip install matplotlib\n')


def test_every_shape_is_here() -> None:
    assert set(SHAPES) == set(PARAMETERS)


@pytest.mark.parametrize('name', SHAPES)
def test_the_parameters_are_those_of_the_model(name: str) -> None:
    listed = manifest(name, 'W4')
    check_tensor_names(listed.tensors)
    assert sum(entry.rows * entry.cols for entry in listed.tensors.values()) == PARAMETERS[name]


@pytest.mark.parametrize('name', SHAPES)
def test_the_bytes_in_four_bits(name: str) -> None:
    model = shape_config(name)
    group = {'smollm2-135m': 32, 'falcon-7b': 64}.get(name, 128)
    hidden, width = model.hidden_size, model.heads * model.head_dim
    qkv = width + 2 * model.kv_heads * model.head_dim
    up = (2 if model.gated else 1) * model.intermediate_size
    layer = hidden * (qkv + width + up + model.intermediate_size)
    ends = model.vocab_size * hidden * (1 if model.tied_head else 2)
    vectors = PARAMETERS[name] - model.layers * layer - ends
    # A group has an fp16 scale and a 4-bit zero, a group of 32 eight-bit numbers an fp16 scale.
    expected = model.layers * layer * (0.5 + 2.5 / group) + ends * (1 + 2 / 32) + 4 * vectors
    assert manifest(name, 'W4').weights_bytes == expected


@pytest.mark.parametrize('name', SHAPES)
def test_the_bytes_in_sixteen_bits(name: str) -> None:
    listed = manifest(name, 'W16')
    vectors = sum(entry.cols for entry in listed.tensors.values() if entry.format == 'f32')
    assert listed.weights_bytes == 2 * (PARAMETERS[name] - vectors) + 4 * vectors


@pytest.mark.parametrize(('name', 'fields'), [
    ('llama-3-8b', {'kv_heads': 8, 'head_dim': 128, 'rope': {'theta': 5e5, 'dim': 128}, 'tied_head': False}),
    ('qwen2.5-0.5b', {'heads': 14, 'kv_heads': 2, 'head_dim': 64, 'tied_head': True, 'context_length': 32768}),
    ('mpt-30b', {'head_dim': 112, 'norm': 'layer', 'activation': 'gelu', 'gated': False, 'context_length': 8192}),
    ('falcon-7b', {'heads': 71, 'kv_heads': 1, 'head_dim': 64, 'parallel': True, 'intermediate_size': 18176}),
])
def test_it_is_described_by_its_family(name: str, fields: dict[str, Any]) -> None:
    model = shape_config(name)
    assert {field: model.to_json().get(field, getattr(model, field)) for field in fields} == fields


def test_biases_where_the_model_has_them() -> None:
    assert manifest('qwen2.5-0.5b', 'W4').tensors['layers.23.attn.qkv.bias'].cols == 1152
    falcon = [name for name in manifest('falcon-7b', 'W4').tensors if name.endswith('.bias')]
    assert len(falcon) == 33 and 'norm.bias' in falcon


@pytest.mark.parametrize('weights', ['W4', 'W8', 'W16'])
def test_random_tensors_take_the_bytes_of_the_manifest(weights: str) -> None:
    listed = manifest('smollm2-135m', weights)
    tensors = random_tensors(Manifest(**{**vars(listed), 'tensors': {
        name: entry for name, entry in listed.tensors.items() if name.startswith(('layers.0', 'embedding'))}}))
    for name, tensor in tensors.items():
        arrays = tensor.values() if isinstance(tensor, dict) else [tensor]
        assert sum(array.nbytes for array in arrays if isinstance(array, np.ndarray)) == listed.tensors[name].nbytes


def test_nothing_is_ever_there_in_more_bits_than_it_is_stored_in() -> None:
    listed = manifest('smollm2-135m', 'W4')
    tracemalloc.start()
    tensors = random_tensors(listed)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert tensors and peak < 1.01 * listed.weights_bytes


def test_a_shape_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['bench', '--shape', 'smollm2-135m', '--new-tokens', '2', '--threads', '1']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith('smollm2-135m: 30 layers of 576 take 0.09 GiB: weights 0.09, KV cache of 6 positions')
    assert 'tok/s' in lines[-1]


@pytest.mark.parametrize('name', FITTING)
def test_it_fits_24_gigabytes(name: str) -> None:
    assert memory_plan.plan(manifest(name, 'W4'), 512).total_bytes < 20 << 30


def test_one_that_does_not_fit_gets_its_plan_and_nothing_more(capsys: pytest.CaptureFixture[str],
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_memory, 'available_memory', lambda: 24 << 30)
    assert main(['bench', '--shape', 'llama-2-70b']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == ['llama-2-70b: 80 layers of 8192 take 33.83 GiB: weights 33.64, KV cache of 204 positions 0.06, '
                     'buffers 0.12', 'it does not fit: 24.00 GiB are available; nothing was measured']
    assert main(['bench', '--shape', 'llama-2-70b', '--json']) == 0
    assert json.loads(capsys.readouterr().out)['fits'] is False
