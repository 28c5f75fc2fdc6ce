# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
What a model is: all that the decoder needs to know, and no model's name.

`ModelConfig` is the one schema of the field `model` in tinychat.json. A checkpoint with a field that is not in it was
written by a newer release, and what it says would be ignored: it is refused instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
import math
import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from tinychat_core.errors import CheckpointError

LARGEST_HEAD = 256  # that the decoder has room for

# Sizes count numbers, not bytes. The decoder keeps them in 32 bits.
Size = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Index = Annotated[int, Meta(ge=0, le=2**31 - 1)]
NotNegative = Annotated[float, Meta(ge=0)]


class Rope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rotary positions: the base, and how many numbers of a head are rotated."""

    theta: Annotated[float, Meta(gt=0)]
    dim: Annotated[int, Meta(ge=0, multiple_of=2)]


class ModelConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The model that a checkpoint holds; `csrc/decoder/model.h` has the same fields for the decoder."""

    vocab_size: Size
    hidden_size: Size
    intermediate_size: Size  # of the feed-forward part
    layers: Size
    heads: Size
    kv_heads: Size
    head_dim: Annotated[int, Meta(ge=1, le=LARGEST_HEAD)]
    context_length: Size
    norm: Literal['rms', 'layer']
    norm_eps: NotNegative
    activation: Literal['silu', 'gelu', 'gelu_tanh', 'relu']
    gated: bool  # down(act(gate) * up) instead of down(act(up))
    tied_head: bool  # the head is the embedding
    bos_token_id: Index | None
    eos_token_ids: list[Index]

    rope: Rope | None = None
    rope_inv_freq: list[float] | None = None  # instead: radians a position for each rotated pair
    rope_scale: NotNegative = 1.0  # of cos and sin (YaRN, LongRoPE)
    rope_long_inv_freq: list[float] | None = None  # instead: in a cache of more positions than `rope_long_after`
    rope_long_after: Index | None = None
    rope_local_inv_freq: list[float] | None = None  # of the layers with a window, where they differ (Gemma 3)
    alibi_slopes: list[float] | None = None  # [heads]: ALiBi
    embedding_size: Size | None = None  # of a token's row, where projections make it fit `hidden_size` (OPT-350M)
    final_norm: bool = True  # false: no norm before the head (OPT-350M)
    position_offset: Index = 0  # learned positions (tensor `positions`) begin at this row (OPT)
    parallel: bool = False  # attention and feed-forward read the same residual (Falcon)
    windows: list[Index] | None = None  # [layers] positions that a token sees, itself included; 0: all
    embedding_scale: float = 1.0  # of the embedding's output (Gemma)
    attention_scale: NotNegative = 0.0  # of q·k; 0: 1/sqrt(head_dim)
    attention_softcap: NotNegative = 0.0  # 0: none
    logit_softcap: NotNegative = 0.0  # 0: none

    def __post_init__(self) -> None:
        """Check what one field alone does not tell; raises ValueError."""
        if self.heads % self.kv_heads:
            raise ValueError(f'{self.heads} heads are no multiple of {self.kv_heads} KV heads')
        self._check_length('windows', self.layers, self.layers)
        self._check_length('alibi_slopes', self.heads, self.heads)
        for name in ('rope_inv_freq', 'rope_long_inv_freq', 'rope_local_inv_freq'):
            self._check_length(name, 0, self.head_dim // 2)
        if self.rope is not None and self.rope.dim > self.head_dim:
            raise ValueError(f'rope.dim is {self.rope.dim}, and a head has {self.head_dim} numbers')
        self._check_finite()

    def _check_length(self, name: str, fewest: int, most: int) -> None:
        values = getattr(self, name)
        if values is not None and not fewest <= len(values) <= most:
            raise ValueError(f'{name} has {len(values)} numbers instead of '
                             f'{most if fewest == most else f"at most {most}"}')

    def _check_finite(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            numbers = value if isinstance(value, list) else [value]
            if not all(math.isfinite(number) for number in numbers if isinstance(number, float)):
                raise ValueError(f'{name} is not finite')
        if self.rope is not None and not math.isfinite(self.rope.theta):
            raise ValueError('rope.theta is not finite')


# Names of tensors: whatever else a checkpoint holds would change what it means, and be ignored.
_TENSOR = re.compile(
    r'(embedding|positions)(\.bias|\.input_scale)?'
    r'|(project_in|project_out|head|layers\.\d+\.(attn\.(qkv|o)|mlp\.(gate_up|up|down)))'
    r'(\.bias|\.input_scale|\.input_order)?'
    r'|(norm|layers\.\d+\.((attn|mlp)_(norm|post_norm|sum_norm)|attn\.[qk]_norm))\.(weight|bias)')


def check_tensors(names: Iterable[str]) -> None:
    """Raise CheckpointError for the name of a tensor that this release does not know."""
    for name in names:
        if not _TENSOR.fullmatch(name):
            raise CheckpointError(f'the checkpoint has the tensor {name}, which this release does not know; '
                                  'update tinychat')


def check_description(model: Mapping[str, Any]) -> None:
    """
    Check a model's description against the schema.

    Raises ValueError, naming the field, for one that is missing, of another type or out of range; CheckpointError for
    one that this release does not know.
    """
    try:
        msgspec.convert(model, ModelConfig)
    except msgspec.ValidationError as error:
        text = str(error)
        if 'unknown field' in text:
            raise CheckpointError(f'the description of the model: {text}; update tinychat') from None
        raise ValueError(f'the description of the model: {text}') from None
