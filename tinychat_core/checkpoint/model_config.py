# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
What a model is: everything the decoder needs to know, without the model's name.

`ModelConfig` is the only schema: families make it from config.json, tinychat.json stores it in the field `model`, and
`to_native` hands it to the C++ decoder. A checkpoint with an unknown field comes from a newer release and is refused,
because ignoring the field would change the model's answers.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta
import numpy as np
import numpy.typing as npt

from tinychat_core.errors import CheckpointError

LARGEST_HEAD = 256  # kMaxHeadDim in csrc
OWN_SPAN = -1  # kOwnSpan in csrc: in `windows`

# Sizes count elements, not bytes. The decoder stores them in 32 bits.
Size = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Index = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Window = Annotated[int, Meta(ge=-1, le=2**31 - 1)]
NotNegative = Annotated[float, Meta(ge=0)]
Axis = Annotated[int, Meta(ge=0, le=2)]
Activation = Literal['silu', 'gelu', 'gelu_tanh', 'relu']

# A vector register holds 16 numbers, and the kernels do not handle a remainder.
_MULTIPLES_OF_16 = ('hidden_size', 'intermediate_size', 'head_dim', 'embedding_size')
# Fields that only Python reads; `to_native` turns those of the rotary embedding into `rope_inv_freq`.
_NOT_NATIVE = frozenset((
    'context_length', 'tied_head', 'bos_token_id', 'eos_token_ids', 'rope', 'rope_inv_freq', 'rope_long_inv_freq',
    'rope_long_after'))

_Struct = TypeVar('_Struct', bound=msgspec.Struct)


class Rope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Unscaled rotary embedding: its base, and how many elements of a head are rotated."""

    theta: Annotated[float, Meta(gt=0)]
    dim: Annotated[int, Meta(ge=0, multiple_of=2)]


def from_json(kind: type[_Struct], fields: Any, named: str) -> _Struct:
    """
    Convert a JSON object to a part of a manifest; messages begin with `named`.

    Raises ValueError, which names the field, if a field is missing, has the wrong type or is out of range, and
    CheckpointError if this release does not know a field.
    """
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        text = f'{named}: {error}'
        if 'unknown field' in text:
            raise CheckpointError(f'{text}; update tinychat') from None
        raise ValueError(text) from None


class ModelConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """The architecture of a model; `csrc/decoder/model.h` has the fields that the decoder reads."""

    vocab_size: Size
    hidden_size: Size
    intermediate_size: Size  # of the feed-forward part
    layers: Index  # 0 only in an encoder: a single matrix
    heads: Size
    kv_heads: Size
    head_dim: Size
    context_length: Size
    norm: Literal['rms', 'layer']
    norm_eps: NotNegative
    activation: Activation
    gated: bool  # down(act(gate) * up) instead of down(act(up))
    tied_head: bool  # the head shares the embedding's weights
    bos_token_id: Index | None
    eos_token_ids: list[Index]

    rope: Rope | None = None
    rope_inv_freq: list[float] | None = None  # instead of `rope`: radians per position of each rotated pair
    rope_axes: list[Axis] | None = None  # [rotated pairs] which of a token's three positions rotates it (M-RoPE)
    rope_scale: NotNegative = 1.0  # of cos and sin (YaRN, LongRoPE)
    rope_long_inv_freq: list[float] | None = None  # used instead by caches of more than `rope_long_after` positions
    rope_long_after: Index | None = None
    rope_local_inv_freq: list[float] | None = None  # of layers with a sliding window, where they differ (Gemma 3)
    alibi_slopes: list[float] | None = None  # [heads]
    embedding_size: Size | None = None  # width of the embedding where projections map it to `hidden_size` (OPT-350M)
    final_norm: bool = True  # there is a norm before the head (not in OPT-350M)
    # No vocabulary: inputs are embeddings, outputs [vocab_size] the rows of the last norm [hidden_size], and of
    # `output_layers`.
    encoder: bool = False
    output_layers: list[Index] | None = None  # of an encoder: layers whose residuals are also outputs, ascending
    # After each of this many first layers, a part of the embedding row is added to the residual, if the row does not
    # come from a token (DeepStack, Meng et al., 2024). Such a row has `input_width` elements.
    deepstack_layers: Index = 0
    position_offset: Index = 0  # first row of the learned positions (tensor `positions`) that is used (OPT)
    parallel: bool = False  # attention and feed-forward read the same residual (Falcon)
    # [layers] slots that a token attends to, itself included; 0: all; OWN_SPAN: those of its span (only in an encoder)
    windows: list[Window] | None = None
    embedding_scale: float = 1.0  # factor of the embedding's output (Gemma)
    attention_scale: NotNegative = 0.0  # of q·k; 0: 1/sqrt(head_dim)
    attention_softcap: NotNegative = 0.0  # 0: none
    logit_softcap: NotNegative = 0.0  # 0: none

    @classmethod
    def from_json(cls, fields: Any) -> ModelConfig:
        """
        Return the configuration of a JSON object.

        Raises ValueError, naming the field, where one is missing, has the wrong type or is out of range;
        CheckpointError where this release does not know a field.
        """
        return from_json(cls, fields, "the model's configuration")

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object, without the fields that have their default value."""
        fields: dict[str, Any] = msgspec.to_builtins(self)
        return fields

    def to_native(self, positions: int) -> dict[str, Any]:
        """Return the fields that the C++ decoder takes, for a KV cache of `positions` positions."""
        fields = {name: getattr(self, name) for name in self.__struct_fields__ if name not in _NOT_NATIVE}
        fields['rope_inv_freq'] = self.inverse_frequencies(positions) or None
        return {name: value for name, value in fields.items() if value is not None}

    def replace(self, **changes: Any) -> ModelConfig:
        """Return a copy with some fields changed; ValueError where the fields do not fit together."""
        return msgspec.structs.replace(self, **changes)

    def inverse_frequencies(self, positions: int) -> list[float]:
        """
        Return the radians per position of each rotated pair [dim / 2] in a cache of `positions` positions.

        The list is empty where the model has no rotary embedding. The size of the cache decides between two tables
        (LongRoPE, dynamic scaling): cached keys are rotated already, so the table cannot change while a text grows.
        """
        if self.rope_long_inv_freq and self.rope_long_after is not None and positions > self.rope_long_after:
            return self.rope_long_inv_freq
        if self.rope is not None:
            return as_floats(inverse_frequencies(self.rope.theta, self.rope.dim))
        return self.rope_inv_freq or []

    @property
    def embedding_width(self) -> int:
        """Elements of a row of the embedding."""
        return self.embedding_size or self.hidden_size

    @property
    def input_width(self) -> int:
        """Elements of an embedding row that does not come from a token."""
        return self.embedding_width + self.deepstack_layers * self.hidden_size

    @property
    def attention_width(self) -> int:
        """Elements of all query heads together."""
        return self.heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """Elements of all key heads together."""
        return self.kv_heads * self.head_dim

    @property
    def up_name(self) -> str:
        """Name of the matrix before the activation, after `layers.N.`."""
        return 'mlp.gate_up' if self.gated else 'mlp.up'

    @property
    def learned_positions(self) -> int:
        """Rows of the tensor `positions` where the model has one."""
        return self.context_length + self.position_offset

    def __post_init__(self) -> None:
        """Check how the fields fit together; raises ValueError."""
        for name in _MULTIPLES_OF_16:
            if (getattr(self, name) or 0) % 16:
                raise ValueError(f'{name} = {getattr(self, name)} is not supported: not a multiple of 16')
        if self.head_dim > LARGEST_HEAD:
            raise ValueError(f'head_dim = {self.head_dim} is not supported: above {LARGEST_HEAD}')
        if not self.layers and not self.encoder:
            raise ValueError('layers is 0')
        outputs = self.hidden_size * (1 + len(self.output_layers or ()))
        if self.encoder and self.vocab_size != outputs:
            raise ValueError(f'the outputs of an encoder have {self.vocab_size} elements instead of {outputs}')
        if self.output_layers and not (self.encoder and self.output_layers == sorted({*self.output_layers}) and
                                       self.output_layers[-1] < self.layers):
            raise ValueError(f'output_layers = {self.output_layers} are not ascending layers of an encoder')
        if self.deepstack_layers and (self.encoder or self.deepstack_layers >= self.layers):
            raise ValueError(f'deepstack_layers = {self.deepstack_layers} is not supported with {self.layers} layers')
        if self.windows and OWN_SPAN in self.windows and not self.encoder:
            raise ValueError('only an encoder has windows that are spans')
        if self.heads % self.kv_heads:
            raise ValueError(f'{self.heads} heads are not a multiple of {self.kv_heads} KV heads')
        self._check_length('windows', self.layers, self.layers)
        self._check_length('alibi_slopes', self.heads, self.heads)
        for name in ('rope_inv_freq', 'rope_long_inv_freq', 'rope_local_inv_freq', 'rope_axes'):
            self._check_length(name, 0, self.head_dim // 2)
        if self.rope is not None and self.rope.dim > self.head_dim:
            raise ValueError(f'rope.dim is {self.rope.dim}, but a head has {self.head_dim} elements')
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


def inverse_frequencies(theta: float, dim: int) -> npt.NDArray[np.float64]:
    """Return theta^(-2i/dim) for the pairs i of a head (Su et al., 2021)."""
    return 1.0 / theta ** (np.arange(0, dim, 2, dtype=np.float64) / dim)


def as_floats(values: npt.NDArray[np.float64]) -> list[float]:
    """Return the values rounded to float32, which is what the decoder computes with."""
    rounded: list[float] = values.astype(np.float32).tolist()
    return rounded
