# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Fold the scales of a matrix's input channels into the preceding operation.

The weights of a norm, v (only a convex sum lies between v and `o`) and `up` of a gated feed-forward part can absorb any
scale; ReLU passes positive scales on. After GELU, and where a matrix reads the residual itself, the matrix keeps the
scale as its `input_scale`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tinychat_core.checkpoint.linear import Linear
from tinychat_core.checkpoint.model_config import ModelConfig
from tinychat_core.checkpoint.writer import Content

Vector = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Group:
    """Matrices that share an input, and the operation that makes it; names are those after `layers.N.`."""

    previous: str | None  # None: no operation can absorb a scale
    matrices: tuple[str, ...]


def groups(model: ModelConfig, content: Mapping[str, Any]) -> tuple[Group, ...]:
    """Return the groups of a decoder layer, in the order of computation."""
    up = model.up_name
    attn_norm, mlp_norm = (name if f'{name}.weight' in content else None for name in ('attn_norm', 'mlp_norm'))
    shared = model.parallel and mlp_norm is None  # Falcon: attention and feed-forward share a norm
    folds = model.gated or model.activation == 'relu'
    return (Group(attn_norm, ('attn.qkv', up) if shared else ('attn.qkv',)),
            Group('attn.qkv', ('attn.o',)),
            *(() if shared else (Group(mlp_norm, (up,)),)),
            Group(up if folds else None, ('mlp.down',)))


def tied(model: ModelConfig, name: str, values: Vector) -> Vector:
    """
    Return a scale of input channels in which channels that must have equal scales do, by their geometric mean.

    Query heads that share a KV head share the channels of v.
    """
    if name != 'attn.o' or model.heads == model.kv_heads:
        return values
    shape = (model.kv_heads, model.heads // model.kv_heads, model.head_dim)
    mean = np.exp(np.log(values).reshape(shape).mean(axis=1, keepdims=True))
    return np.broadcast_to(mean, shape).reshape(-1).astype(np.float32)


def fold(model: ModelConfig, content: Content, scales: Mapping[str, Vector]) -> dict[str, Linear | Vector]:
    """
    Return a layer's tensors with the scales folded; its matrices have been multiplied by them already.

    `scales` are keyed by matrix; those of a group are equal, and those of `attn.o` are tied.
    """
    folded: dict[str, Linear | Vector] = dict(content)
    for group in groups(model, content):
        name = group.matrices[0]
        if name not in scales:
            continue
        inverse = (1 / scales[name]).astype(np.float32)
        if group.previous is None:
            folded.update({f'{matrix}.input_scale': inverse for matrix in group.matrices})
        elif group.previous.endswith('norm'):
            for part in (f'{group.previous}.weight', f'{group.previous}.bias'):
                if part in folded:
                    folded[part] = _vector(folded[part]) * inverse
        else:
            _scale_rows(folded, group.previous, _rows(model, group.previous, inverse))
    return folded


def _rows(model: ModelConfig, previous: str, inverse: Vector) -> Vector:
    """Return the factor of each row of the previous matrix: the last rows of qkv are v, those of gate_up are up."""
    if previous == 'attn.qkv':
        shared = model.heads // model.kv_heads
        own = inverse.reshape(model.kv_heads, shared, model.head_dim)[:, 0].reshape(-1)
        before = (model.heads + model.kv_heads) * model.head_dim
    else:
        own, before = inverse, model.intermediate_size if model.gated else 0
    return np.concatenate([np.ones(before, np.float32), own])


def _scale_rows(content: dict[str, Linear | Vector], name: str, factor: Vector) -> None:
    matrix = content[name]
    assert isinstance(matrix, Linear) and matrix.layout is None
    if matrix.scales is None:
        content[name] = replace(matrix, weight=matrix.weight * factor[:, None])
    else:
        def scaled(part: npt.NDArray[Any]) -> npt.NDArray[Any]:
            return (part.astype(np.float32) * factor[:, None]).astype(part.dtype)

        content[name] = replace(matrix, scales=scaled(matrix.scales),
                                mins=None if matrix.mins is None else scaled(matrix.mins))
    if f'{name}.bias' in content:
        content[f'{name}.bias'] = _vector(content[f'{name}.bias']) * factor


def _vector(tensor: Linear | Vector) -> Vector:
    assert not isinstance(tensor, Linear)
    return tensor
