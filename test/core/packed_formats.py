# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Matrices in other tools' layouts, packed one number at a time as their documents say; and what they mean."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from small_huggingface import SHAPES, tensors
import torch

Array = npt.NDArray[Any]

# Quantization configurations of the tools.
AWQ = {'quant_method': 'awq', 'bits': 4, 'group_size': 32, 'version': 'gemm', 'zero_point': True}
GPTQ = {'quant_method': 'gptq', 'bits': 4, 'group_size': 32, 'desc_act': False, 'sym': False}
GPTQ8 = {**GPTQ, 'bits': 8, 'sym': True}
W4A16 = {'quant_method': 'compressed-tensors', 'format': 'pack-quantized', 'ignore': ['lm_head'],
         'config_groups': {'group_0': {'targets': ['Linear'], 'weights': {'num_bits': 4, 'type': 'int'}}}}
W8A16 = {**W4A16, 'config_groups': {'group_0': {'weights': {'num_bits': 8, 'type': 'int'}}}}
W8A8 = {**W4A16, 'format': 'int-quantized', 'config_groups': {'group_0': {
    'weights': {'num_bits': 8, 'type': 'int', 'strategy': 'channel', 'symmetric': True},
    'input_activations': {'num_bits': 8, 'dynamic': True, 'strategy': 'token'}}}}
MATRICES = ('layers.1.attn.qkv', 'layers.1.mlp.gate_up', 'layers.1.mlp.down', 'embedding', 'head')


@dataclass
class Grid:
    """`s * (q - z)`: q [rows, cols], s and z [rows, groups]; `group_of` [cols] is each column's group."""

    q: Array
    scales: Array
    zeros: Array
    group_of: Array

    @property
    def values(self) -> Array:
        """Return what the numbers mean."""
        s, z = (part.astype(np.float32)[:, self.group_of] for part in (self.scales, self.zeros))
        return s * (self.q.astype(np.float32) - z)


def grid(shape: tuple[int, int], group_size: int, seed: int, bits: int = 4, symmetric: bool = False,
         ordered: int | None = None) -> Grid:
    """
    Return a random grid whose values have about the size of weights.

    The last group is what the others leave. `ordered`: the columns of a group lie anywhere, as this seed says.
    """
    rows, cols = shape
    random = np.random.default_rng(seed)
    group_of = np.arange(cols) // (group_size if group_size > 0 else cols)
    groups = int(group_of[-1]) + 1
    if ordered is not None:
        group_of = group_of[np.random.default_rng(ordered).permutation(cols)]
    zeros = random.integers(0, 1 << bits, (rows, groups)) if not symmetric else np.full((rows, groups), 1 << (bits - 1))
    return Grid(random.integers(0, 1 << bits, (rows, cols)),
                random.uniform(0.001, 0.1, (rows, groups)).astype(np.float16), zeros, group_of)


def words(numbers: Array, bits: int, order: tuple[int, ...] | None = None) -> Array:
    """Pack each row's numbers into int32, the lowest bits first; place i of a word holds number order[i]."""
    count = 32 // bits
    order = order or tuple(range(count))
    rows, cols = numbers.shape
    packed = np.zeros((rows, -(-cols // count)), dtype=np.uint32)
    for col in range(packed.shape[1]):
        for place in range(count):
            if col * count + order[place] < cols:
                packed[:, col] |= (numbers[:, col * count + order[place]].astype(np.uint32) << (bits * place))
    return packed.view(np.int32)


_AWQ = (0, 2, 4, 6, 1, 3, 5, 7)


def padded(numbers: Array, group_size: int) -> Array:
    """Return scales or zeros [rows, groups] with the columns of zeros that AutoAWQ's gemv appends."""
    rows, groups = numbers.shape
    multiple = {64: 2, 32: 4}.get(group_size, 1)
    width = (groups + 8 * multiple - 1) // (8 * multiple) * 8 * multiple
    wide = np.zeros((rows, width), dtype=numbers.dtype)
    wide[:, :groups] = numbers
    return wide


def awq_gemm(g: Grid) -> dict[str, Array]:
    return {'qweight': words(g.q.T, 4, _AWQ), 'qzeros': words(g.zeros.T, 4, _AWQ), 'scales': g.scales.T}


def awq_gemv(g: Grid) -> dict[str, Array]:
    size = int(np.count_nonzero(g.group_of == 0))
    return {'qweight': words(g.q, 4), 'qzeros': words(padded(g.zeros, size), 4), 'scales': padded(g.scales, size)}


def awq_fast(g: Grid) -> dict[str, Array]:
    """llm-awq's second version and gemv_fast."""
    rows, cols = g.q.shape
    places = [0, 1, 8, 9, 16, 17, 24, 25, 2, 3, 10, 11, 18, 19, 26, 27,
              4, 5, 12, 13, 20, 21, 28, 29, 6, 7, 14, 15, 22, 23, 30, 31]
    within = [8 * eight + i for eight in range(4) for i in (0, 2, 4, 6, 1, 3, 5, 7)]
    packed = np.zeros((rows // 4, cols), dtype=np.uint16)
    for quad in range(rows // 4):
        for stretch in range(cols // 64):
            stored = []
            for row in range(4):
                for half in range(2):
                    first = stretch * 64 + half * 32
                    stored += [int(g.q[quad * 4 + row, first + places[place]]) for place in within]
            for word in range(64):
                packed[quad, stretch * 64 + word] = sum(stored[4 * word + i] << 4 * i for i in range(4))
    size = int(np.count_nonzero(g.group_of == 0))
    mins = -(g.scales.astype(np.float32) * g.zeros).astype(np.float16)
    return {'qweight': packed.view(np.int16), 'scales': padded(g.scales, size).T, 'scaled_zeros': padded(mins, size).T}


def gptq(g: Grid, bits: int = 4, less_one: bool = True, index: bool = True) -> dict[str, Array]:
    """`index`: with g_idx."""
    zeros = (g.zeros - less_one) & ((1 << bits) - 1)
    parts = {'qweight': words(g.q, bits).T, 'qzeros': words(zeros.T, bits), 'scales': g.scales.T}
    return {**parts, 'g_idx': g.group_of.astype(np.int32)} if index else parts


def compressed_packed(g: Grid, bits: int = 4, zero_points: bool = True, index: bool = False) -> dict[str, Array]:
    parts = {'weight_packed': words(g.q, bits), 'weight_scale': g.scales,
             'weight_shape': np.array(g.q.shape, dtype=np.int64)}
    if index:
        parts['weight_g_idx'] = g.group_of.astype(np.int32)
    return {**parts, 'weight_zero_point': words(g.zeros.T, bits).T} if zero_points else parts


def compressed_int(g: Grid) -> dict[str, Array]:
    return {'weight': (g.q - 128).astype(np.int8), 'weight_scale': g.scales}


def model(pack: Any, group_size: int, shapes: dict[str, tuple[int, ...]] | None = None, plain: tuple[str, ...] = (),
          order: Callable[[str], int] | None = None,
          **options: Any) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """
    Return a LLaMA's tensors with each matrix of the decoder layers packed, and what they mean, in float32.

    `pack` gets a grid of `options`; `order`: the seed of a matrix's order of columns, by its name.
    """
    made = {name: (tensor * 0.1).half() for name, tensor in tensors().items()} if shapes is None else {
        name: torch.randn(shape, generator=torch.Generator().manual_seed(len(name))).half()
        for name, shape in shapes.items()}
    means = {name: tensor.float() for name, tensor in made.items()}
    for seed, (name, shape) in enumerate((shapes or SHAPES).items()):
        if '_proj' not in name or name.removesuffix('.weight').endswith(plain or ('?',)):
            continue
        g = grid(shape, group_size, seed, **({'ordered': order(name)} if order else {}), **options)
        del made[name]
        base = name.removesuffix('.weight')
        made |= {f'{base}.{part}': torch.from_numpy(np.ascontiguousarray(array)) for part, array in pack(g).items()}
        means[name] = torch.from_numpy(g.values)
    return made, means
