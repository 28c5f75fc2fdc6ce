# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Scales of a matrix's input channels, taken back by the operation before it.

A norm's weights, v (a convex sum lies between it and `o`) and up of a gated feed-forward part can take any
scale, ReLU passes a positive one on; after GELU the matrix keeps it, as its `input_scale`, and so it does where
it reads the residual itself, which a norm has made already.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tinychat_core.checkpoint.linear import Linear
from tinychat_core.checkpoint.writer import Content

Vector = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Group:
    """Matrices with one input, and the operation before; names are ours after `layers.N.`."""

    previous: str | None  # None: nothing there can take a scale
    matrices: tuple[str, ...]


def groups(model: Mapping[str, Any], content: Mapping[str, Any]) -> tuple[Group, ...]:
    """Return the groups of a decoder layer, in the order in which it computes them."""
    up = 'mlp.gate_up' if model['gated'] else 'mlp.up'
    attn_norm, mlp_norm = (name if f'{name}.weight' in content else None for name in ('attn_norm', 'mlp_norm'))
    shared = model.get('parallel') and mlp_norm is None  # Falcon: attention and feed-forward read one norm
    folds = model['gated'] or model['activation'] == 'relu'
    return (Group(attn_norm, ('attn.qkv', up) if shared else ('attn.qkv',)),
            Group('attn.qkv', ('attn.o',)),
            *(() if shared else (Group(mlp_norm, (up,)),)),
            Group(up if folds else None, ('mlp.down',)))


def tied(model: Mapping[str, Any], name: str, values: Vector) -> Vector:
    """
    Return a scale of a matrix's input channels made possible: means of those that have to be equal.

    Query heads that share a KV head share v's channels.
    """
    if name != 'attn.o' or model['heads'] == model['kv_heads']:
        return values
    shape = (model['kv_heads'], model['heads'] // model['kv_heads'], model['head_dim'])
    mean = np.exp(np.log(values).reshape(shape).mean(axis=1, keepdims=True))
    return np.broadcast_to(mean, shape).reshape(-1).astype(np.float32)


def fold(model: Mapping[str, Any], content: Content, scales: Mapping[str, Vector]) -> dict[str, Linear | Vector]:
    """
    Return a layer's tensors with the scales taken back, where its matrices have been multiplied by them already.

    `scales` are by the name of the matrix; a group's are equal, and those of `attn.o` are tied.
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


def _rows(model: Mapping[str, Any], previous: str, inverse: Vector) -> Vector:
    """Return the factor of each row of the matrix before: v's are the last of qkv, up's the last of gate | up."""
    if previous == 'attn.qkv':
        shared = model['heads'] // model['kv_heads']
        own = inverse.reshape(model['kv_heads'], shared, model['head_dim'])[:, 0].reshape(-1)
        before = (model['heads'] + model['kv_heads']) * model['head_dim']
    else:
        own, before = inverse, model['intermediate_size'] if model['gated'] else 0
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
