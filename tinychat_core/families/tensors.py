# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Our names of tensors, and the shape that a description gives each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# The last parts of the names of vectors; all others are matrices.
_NORMS = ('norm', 'attn_norm', 'mlp_norm', 'attn_post_norm', 'mlp_post_norm', 'attn_sum_norm', 'mlp_sum_norm', 'q_norm',
          'k_norm')


def is_norm(name: str) -> bool:
    """Return whether a tensor of ours, without `.weight` or `.bias`, is a vector."""
    return name.rpartition('.')[2] in _NORMS


def shape_of(name: str, model: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the shape [rows, cols] or [n] of a tensor of ours; KeyError for an unknown name."""
    kind, hidden, inner = name.rpartition('.')[2], model['hidden_size'], model['intermediate_size']
    if is_norm(name):
        return (model['head_dim'] if kind in ('q_norm', 'k_norm') else hidden,)
    queries, keys = model['heads'] * model['head_dim'], model['kv_heads'] * model['head_dim']
    width = model.get('embedding_size', hidden)
    positions = model['context_length'] + model.get('position_offset', 0)
    return {'embedding': (model['vocab_size'], width), 'head': (model['vocab_size'], width),
            'project_in': (hidden, width), 'project_out': (width, hidden),
            'positions': (positions, hidden), 'qkv': (queries + 2 * keys, hidden), 'o': (hidden, queries),
            'gate_up': (2 * inner, hidden), 'up': (inner, hidden), 'down': (hidden, inner)}[kind]
