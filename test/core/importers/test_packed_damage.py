# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Thousands of damaged quantization configurations and tensors: each is imported, or refused with one line."""
from __future__ import annotations

from collections.abc import Mapping
import copy
from functools import partial
import logging
import math
from pathlib import Path
import random
from typing import Any

import numpy as np
import packed_formats as packed
from packed_formats import AWQ, GPTQ, GPTQ8, W4A16, W8A8
import pytest
from small_huggingface import CONFIG, SHAPES

from tinychat_core.errors import TinyChatError
from tinychat_core.families import family_of, model_config
from tinychat_core.families.hf_config import HfConfig
from tinychat_core.importers.huggingface import HuggingFaceSource
from tinychat_core.importers.import_plan import ImportPlan
from tinychat_core.importers.quantization_config import quant_format_of
from tinychat_core.importers.quantized_source import QuantizedSource
from tinychat_core.importers.recipe import Recipe
from tinychat_core.importers.source import SourceModel

MUTATIONS = 400  # of each kind
SMALL = {**CONFIG, 'num_hidden_layers': 1, 'vocab_size': 16}
TYPES = {'float16': 'F16', 'float32': 'F32', 'int8': 'I8', 'int16': 'I16', 'int32': 'I32', 'int64': 'I64',
         'uint8': 'U8', 'float64': 'F64', 'bool': 'BOOL'}
VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 2, 3, 4, 8, 16, 32, 128, -7, 10 ** 6, 2 ** 31, 2 ** 63, 10 ** 400, -10 ** 9000, 0.5,
    4.0, math.nan, math.inf, -math.inf, '', '4', 'int', 'gptq', 'group', 'marlin', 'x' * 10 ** 5, 'a\nb\x1b[31m',
    '\ud800', [], [[]], [1, 2], {}, {'': None}, {'a': {'b': {'c': []}}}, {'bits': 3}, {'.*': 7}, {'.*': {'bits': '4'}}]
KEYS = ['bits', 'w_bit', 'group_size', 'q_group_size', 'sym', 'desc_act', 'checkpoint_format', 'format', 'version',
        'zero_point', 'dynamic', 'extra_config', 'packing_format', 'backend', 'data_type', 'act_bits', 'config_groups',
        'weights', 'num_bits', 'type', 'strategy', 'actorder', 'input_activations', 'output_activations', 'ignore',
        'kv_cache_scheme', 'sparsity_config', 'transform_config', 'is_marlin_format', 'quant_method', 'rotation',
        'adapter', 'modules_to_not_convert', 'pack_dtype', 'targets', 'super_bits', 'block_structure']

SCHEME = {'strategy': 'group', 'group_size': 32, 'symmetric': True, 'actorder': 'group', 'dynamic': False}
KINDS: dict[str, tuple[dict[str, Any], Any, dict[str, Any]]] = {
    'awq gemm': (AWQ, packed.awq_gemm, {'group_size': 32}),
    'awq gemv': ({**AWQ, 'version': 'gemv'}, packed.awq_gemv, {'group_size': 32}),
    'awq fast': ({**AWQ, 'version': 'gemv_fast', 'group_size': 64}, packed.awq_fast, {'group_size': 64}),
    'gptq': ({**GPTQ, 'desc_act': True, 'dynamic': {'-:.*x': {}, '+:.*y': {'bits': 4, 'group_size': 32, 'sym': False}}},
             packed.gptq, {'group_size': 32, 'ordered': 1}),
    'gptq 8 bits': (GPTQ8, partial(packed.gptq, bits=8), {'group_size': 32, 'bits': 8, 'symmetric': True}),
    'W4A16': ({**W4A16, 'config_groups': {'a': {'weights': {'num_bits': 4, 'type': 'int', **SCHEME}}}},
              partial(packed.compressed_packed, index=True), {'group_size': 32, 'ordered': 1}),
    'W8A8': (W8A8, packed.compressed_int, {'group_size': -1, 'bits': 8, 'symmetric': True}),
    'auto-round': ({'quant_method': 'auto-round', 'bits': 4, 'group_size': 32, 'sym': True, 'data_type': 'int',
                    'packing_format': 'auto_round:auto_gptq', 'extra_config': {'a': {'bits': 8, 'group_size': 32}}},
                   packed.gptq, {'group_size': 32, 'symmetric': True}),
}


class Memory:
    """A file of tensors that is none."""

    def __init__(self, tensors: Mapping[str, np.ndarray[Any, Any]]) -> None:
        self._tensors = tensors

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: array.shape for name, array in self._tensors.items()}

    def dtype(self, name: str) -> str:
        return TYPES[str(self._tensors[name].dtype)]

    def array(self, name: str) -> np.ndarray[Any, Any]:
        return self._tensors[name]


def read(options: Any, tensors: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Make all that `tinychat import` writes of these."""
    plain = HuggingFaceSource(Path('theirs'), [Memory(tensors)])
    source = QuantizedSource(plain, quant_format_of(options, 'theirs'))
    family = family_of(SMALL)
    model = SourceModel(source, family, family.names(HfConfig(SMALL)), model_config(SMALL), {}, {}, '')
    for part in ImportPlan(model, Recipe()).parts:
        part()


def made(kind: str) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    config, pack, options = KINDS[kind]
    shapes = {name: tuple({270: 16, 96: 128 if 'fast' in kind else 96}.get(n, n) for n in shape)
              for name, shape in SHAPES.items() if '.1.' not in name}
    tensors, _ = packed.model(pack, options['group_size'], shapes, **{
        name: value for name, value in options.items() if name not in ('group_size', 'ordered')},
        order=(lambda _: 1) if 'ordered' in options else None)
    return config, {name: tensor.numpy() for name, tensor in tensors.items()}


def places(options: Any) -> list[tuple[Any, Any]]:
    """Return every place in the options: what holds it, and its key there."""
    inner = list(options.items()) if isinstance(options, dict) else list(enumerate(options)) if isinstance(
        options, list) else []
    return [(options, key) for key, _ in inner] + [place for _, value in inner for place in places(value)]


def changed_options(options: dict[str, Any], chance: random.Random) -> Any:
    changed = copy.deepcopy(options)
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        holder, key = chance.choice(places(changed) or [(changed, 'bits')])
        if chance.random() < 0.2 and isinstance(holder, dict):
            holder[chance.choice(KEYS)] = copy.deepcopy(chance.choice(VALUES))
        elif chance.random() < 0.1:
            del holder[key]
        else:
            holder[key] = copy.deepcopy(chance.choice(VALUES))
    return chance.choice(VALUES) if chance.random() < 0.02 else changed


def changed_array(array: np.ndarray[Any, Any], chance: random.Random) -> np.ndarray[Any, Any]:
    random_numbers = np.random.default_rng(chance.randrange(2 ** 32))
    shape = list(array.shape)
    what = chance.choice(['type', 'shape', 'bits', 'transposed', 'constant', 'one'])
    if what == 'type':
        with np.errstate(all='ignore'):
            return array.astype(chance.choice(list(TYPES)))
    if what == 'shape':
        for _ in range(chance.choice([1, 2])):
            if shape and chance.random() < 0.8:
                shape[chance.randrange(len(shape))] = chance.choice([0, 1, 2, 3, 4, 7, 8, 12, 24, 64, 96, 128])
            elif chance.random() < 0.5:
                shape = shape[1:]
            else:
                shape.append(chance.choice([0, 1, 2]))
        return np.resize(array, shape).astype(array.dtype)
    if what == 'bits':
        return np.frombuffer(random_numbers.bytes(array.nbytes), array.dtype).reshape(shape).copy()
    if what == 'transposed':
        return np.ascontiguousarray(array.T)
    value = chance.choice([0, 1, -1, 5, 127, -128] if array.dtype.kind in 'iu' else [
        0, 1, -1, 1e-8, 65504, math.nan, math.inf])
    changed = np.array(array)
    if what == 'constant' or not changed.size:
        changed[...] = value
    else:
        changed.reshape(-1)[chance.randrange(changed.size)] = value
    return changed


def outcome(options: Any, tensors: Mapping[str, np.ndarray[Any, Any]], about: str) -> bool:
    """Return whether it was imported; fail where anything but one short line refuses it."""
    try:
        read(options, tensors)
    except TinyChatError as error:
        text = str(error)
        assert text.startswith('theirs') or 'of the model' in text or text.split('.')[0] in (
            'layers', 'head', 'embedding') or 'has weights that are' in text, text
        assert '\n' not in text and '\x1b' not in text and len(text) < 500, text
        return False
    except Exception as error:
        raise AssertionError(f'{about}: {options}') from error
    return True


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)


@pytest.mark.parametrize('kind', KINDS)
def test_configurations(kind: str) -> None:
    config, tensors = made(kind)
    assert outcome(config, tensors, kind) is (kind != 'awq fast')  # its width is another one
    imported = sum(outcome(changed_options(config, random.Random(seed)), tensors, f'{kind} {seed}')
                   for seed in range(MUTATIONS))
    assert imported < 0.6 * MUTATIONS


@pytest.mark.parametrize('kind', KINDS)
def test_tensors(kind: str) -> None:
    config, tensors = made(kind)
    names = [name for name in tensors if '_proj' in name]
    imported = 0
    for seed in range(MUTATIONS):
        chance = random.Random(seed)
        changed = dict(tensors)
        name = chance.choice(names)
        if chance.random() < 0.1:
            del changed[name]
        else:
            changed[name] = changed_array(changed[name], chance)
        imported += outcome(config, changed, f'{kind} {seed} {name}')
    assert imported < 0.8 * MUTATIONS
