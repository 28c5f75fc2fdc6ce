# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The names of the tensors of a checkpoint, and the shape that a configuration gives each."""

from __future__ import annotations

from collections.abc import Iterable
import re

from tinychat_core.checkpoint.model_config import ModelConfig
from tinychat_core.errors import CheckpointError

# Any other tensor would change what a checkpoint means, and would be ignored.
_TENSOR = re.compile(
    r'vision\.(newline|grid)|(vision\.(stem|encoder|projector\.\d+|deepstack\.\d+\.\d+)\.)?('
    r'(embedding|positions)(\.bias|\.input_scale)?'
    r'|(project_in|project_out|head|layers\.\d+\.(attn\.(qkv(\.[0-2])?|o)|mlp\.(gate_up(\.[01])?|up|down)))'
    r'(\.bias|\.input_scale|\.input_order)?'
    r'|(norm|layers\.\d+\.((attn|mlp)_(norm|post_norm|sum_norm)|attn\.[qk]_norm))\.(weight|bias))')

# Last parts of the names of vectors; all others are matrices.
_NORMS = ('norm', 'attn_norm', 'mlp_norm', 'attn_post_norm', 'mlp_post_norm', 'attn_sum_norm', 'mlp_sum_norm', 'q_norm',
          'k_norm')


def check_tensor_names(names: Iterable[str]) -> None:
    """Raise CheckpointError for the name of a tensor that this release does not know."""
    for name in names:
        if not _TENSOR.fullmatch(name):
            raise CheckpointError(f'the checkpoint has the tensor {name}, which this release does not know; '
                                  'update tinychat')


def is_norm(name: str) -> bool:
    """Return whether a tensor, named without `.weight` or `.bias`, is the vector of a norm."""
    return name.rpartition('.')[2] in _NORMS


def shape_of(name: str, model: ModelConfig) -> tuple[int, ...]:
    """Return the shape [rows, cols] or [n] of a tensor; KeyError for an unknown name."""
    kind, hidden, inner = name.rpartition('.')[2], model.hidden_size, model.intermediate_size
    if is_norm(name):
        return (model.head_dim if kind in ('q_norm', 'k_norm') else hidden,)
    queries, width = model.attention_width, model.embedding_width
    return {'embedding': (model.vocab_size, width), 'head': (model.vocab_size, width),
            'project_in': (hidden, width), 'project_out': (width, hidden),
            'positions': (model.learned_positions, hidden), 'qkv': (queries + 2 * model.kv_width, hidden),
            'o': (hidden, queries), 'gate_up': (2 * inner, hidden), 'up': (inner, hidden),
            'down': (hidden, inner)}[kind]
