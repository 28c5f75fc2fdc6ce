# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
A family's description of a model: all that the decoder needs to know, and no model's name.

A checkpoint with a field that is not listed here was written by a newer release, and what it says would be
ignored: it is refused instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
import re
from typing import Any

from tinychat_core.errors import CheckpointError

LARGEST_HEAD = 256  # that the decoder has room for

# Field -> the types of its value. Sizes count numbers, not bytes.
_REQUIRED: dict[str, tuple[type, ...]] = {
    'vocab_size': (int,),
    'hidden_size': (int,),
    'intermediate_size': (int,),       # of the feed-forward part
    'layers': (int,),
    'heads': (int,),
    'kv_heads': (int,),
    'head_dim': (int,),
    'context_length': (int,),
    'norm': (str,),                    # rms | layer
    'norm_eps': (float, int),
    'activation': (str,),              # silu | gelu | gelu_tanh | relu
    'gated': (bool,),                  # down(act(gate) * up) instead of down(act(up))
    'tied_head': (bool,),              # the head is the embedding
    'bos_token_id': (int, type(None)),
    'eos_token_ids': (list,),
}
_OPTIONAL: dict[str, tuple[type, ...]] = {
    'rope': (dict, type(None)),        # rotary positions: theta, and how many numbers of a head are rotated
    'rope_inv_freq': (list,),          # instead: radians a position for each rotated pair
    'rope_scale': (float, int),        # of cos and sin (YaRN, LongRoPE)
    'rope_long_inv_freq': (list,),     # instead: in a cache of more positions than `rope_long_after` (LongRoPE, NTK)
    'rope_long_after': (int,),
    'rope_local_inv_freq': (list,),    # of the layers with a window, where they differ (Gemma 3)
    'alibi_slopes': (list,),           # [heads]: ALiBi
    'embedding_size': (int,),          # of a token's row, where projections make it fit `hidden_size` (OPT-350M)
    'final_norm': (bool,),             # false: no norm before the head (OPT-350M)
    'position_offset': (int,),         # learned positions (tensor `positions`) begin at this row (OPT)
    'parallel': (bool,),               # attention and feed-forward read the same residual (Falcon)
    'windows': (list,),                # [layers] positions that a token sees, itself included; 0: all
    'embedding_scale': (float, int),   # of the embedding's output (Gemma)
    'attention_scale': (float, int),   # of q·k; absent: 1/sqrt(head_dim)
    'attention_softcap': (float, int),
    'logit_softcap': (float, int),
}

_ROPE: dict[str, tuple[type, ...]] = {'theta': (float, int), 'dim': (int,)}


# Names of tensors: whatever else a checkpoint holds would change what it means, and be ignored.
_TENSOR = re.compile(
    r'(embedding|project_in|positions|project_out|head|layers\.\d+\.(attn\.(qkv|o)|mlp\.(gate_up|up|down)))'
    r'(\.bias|\.input_scale)?'
    r'|(norm|layers\.\d+\.((attn|mlp)_(norm|post_norm|sum_norm)|attn\.[qk]_norm))\.(weight|bias)')


def check_tensors(names: Iterable[str]) -> None:
    """Raise CheckpointError for the name of a tensor that this release does not know."""
    for name in names:
        if not _TENSOR.fullmatch(name):
            raise CheckpointError(f'the checkpoint has the tensor {name}, which this release does not know; '
                                  'update tinychat')


def check_description(model: Mapping[str, Any]) -> None:
    """Raise ValueError for a field that is missing or of another type, CheckpointError for an unknown one."""
    for name in _REQUIRED:
        if name not in model:
            raise ValueError(f'the description lacks {name}')
    _check_fields('', model, {**_REQUIRED, **_OPTIONAL})
    if model.get('rope') is not None:
        if not set(_ROPE) <= set(model['rope']):
            raise ValueError('rope of the description lacks theta or dim')
        _check_fields('rope.', model['rope'], _ROPE)
    for name in ('vocab_size', 'hidden_size', 'intermediate_size', 'layers', 'heads', 'kv_heads', 'head_dim',
                 'context_length', 'embedding_size'):
        if model.get(name, 1) < 1:
            raise ValueError(f'{name} of the description is {model[name]}')
    _check_lists(model)


def _check_lists(model: Mapping[str, Any]) -> None:
    """Raise ValueError for a list that the decoder would read beyond its end, or that has more than numbers."""
    layers, heads, pairs = model['layers'], model['heads'], model['head_dim'] // 2
    for name, kinds, fewest, most in (
            ('windows', (int,), layers, layers), ('alibi_slopes', (int, float), heads, heads),
            ('rope_inv_freq', (int, float), 0, pairs), ('rope_long_inv_freq', (int, float), 0, pairs),
            ('rope_local_inv_freq', (int, float), 0, pairs)):
        values = model.get(name)
        if values is not None and not fewest <= len(values) <= most:
            raise ValueError(f'{name} of the description has {len(values)} numbers')
        if any(type(value) not in kinds for value in values or ()):
            raise ValueError(f'{name} of the description has something else than numbers')
    if model['head_dim'] > LARGEST_HEAD:
        raise ValueError(f'head_dim of the description is {model["head_dim"]}')
    if (model.get('rope') or {}).get('dim', 0) > model['head_dim'] or model.get('position_offset', 0) < 0:
        raise ValueError('the positions of the description do not fit its heads')


def _check_fields(prefix: str, values: Mapping[str, Any], known: Mapping[str, tuple[type, ...]]) -> None:
    for name, value in values.items():
        if name not in known:
            raise CheckpointError(f'the checkpoint describes its model by {prefix}{name}, which this release '
                                  'does not know; update tinychat')
        # A bool is an int in Python, and here it is not.
        if not isinstance(value, known[name]) or (isinstance(value, bool) and bool not in known[name]):
            raise ValueError(f'{prefix}{name} of the description is {value!r}')
