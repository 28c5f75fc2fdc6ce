# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Reads a Hugging Face config.json and refuses options that nothing has read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from tinychat_core.checkpoint.model_config import Activation
from tinychat_core.errors import UnsupportedModelError

# Options that change what a model computes, whatever its family, with the value at which they do not. An option that a
# family does not read must be absent, null or have this value.
_DECISIVE: dict[str, Any] = {
    'add_cross_attention': False, 'alibi': False, 'apply_residual_connection_post_layernorm': False,
    'attention_bias': False, 'attention_chunk_size': None, 'attention_multiplier': 1.0, 'attn_logit_softcapping': None,
    'audio_config': None, 'clip_qkv': None, 'embedding_multiplier': 1.0, 'final_logit_softcapping': None,
    'full_attn_mod': 1, 'interpolate_factor': 1, 'is_encoder_decoder': False, 'layer_types': None,
    'lm_head_bias': False, 'logit_scale': 1.0, 'logits_scaling': 1.0, 'mlp_bias': False, 'no_rope_layers': [],
    'parallel_attn': False, 'partial_rotary_factor': 1.0, 'qk_layernorm': False, 'qk_norm': False,
    'quantization_config': None, 'query_pre_attn_scalar': None, 'residual_multiplier': 1.0, 'rope_interleaved': False,
    'rope_local_base_freq': None, 'rope_parameters': None, 'rope_scaling': None, 'rotary_pct': 1.0, 'scale_depth': 1.0,
    'scale_emb': 1, 'sliding_window': None, 'sliding_window_pattern': None, 'text_config': None, 'use_bias': False,
    'use_parallel_residual': False, 'use_qk_norm': False, 'use_sliding_window': False, 'vision_config': None,
}
# Parts of option names of unsupported architectures: mixture of experts, state spaces, compressed caches.
_FOREIGN = ('expert', 'moe', 'mamba', 'ssm', 'lora_rank', 'num_kv_shared')

# Above any real model: a damaged count must not fill the memory with a list of layers.
_LARGEST, _MOST = 1 << 24, 1 << 12
_LARGEST_NUMBER = 1e15  # also excludes NaN and infinity

_ACTIVATIONS: dict[str, Activation] = {
    'silu': 'silu', 'swish': 'silu', 'gelu': 'gelu', 'gelu_new': 'gelu_tanh', 'gelu_fast': 'gelu_tanh',
    'gelu_pytorch_tanh': 'gelu_tanh', 'relu': 'relu'}


class TokenFields(TypedDict):
    """The fields of ModelConfig for the special tokens."""

    bos_token_id: int | None
    eos_token_ids: list[int]


class HfConfig:
    """The options of a config.json by name; records which were read, so that `check` can refuse the others."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        """Take the content of a config.json."""
        self._values = values
        self._read = {'model_type'}
        self._inner: list[HfConfig] = []

    def get(self, name: str, default: Any = None) -> Any:
        """Return an option; `default` where it is absent or null."""
        self._read.add(name)
        value = self._values.get(name)
        return default if value is None else value

    def size(self, name: str, default: int | None = None) -> int:
        """Return a positive integer; UnsupportedModelError where it is missing or something else."""
        value = self.get(name, default)
        if type(value) is not int or not 0 < value <= (_MOST if 'layers' in name or 'heads' in name else _LARGEST):
            raise self.unsupported(name)
        return value

    def edge(self, name: str, default: int) -> int:
        """Return the edge of a square [pixels]: a positive integer, or two equal ones."""
        value = self.get(name, default)
        if isinstance(value, list) and len(value) == 2 and value[0] == value[1]:
            value = value[0]
        if type(value) is not int or not 0 < value <= _LARGEST:
            raise self.unsupported(name)
        return value

    def number(self, name: str, default: float | None = None) -> float:
        """Return a number; UnsupportedModelError where it is missing or something else."""
        value = self.get(name, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < _LARGEST_NUMBER:
            raise self.unsupported(name)
        return value

    def mapping(self, name: str) -> Mapping[str, Any]:
        """Return an object, empty where it is absent; UnsupportedModelError where it is something else."""
        value = self.get(name, {})
        if not isinstance(value, dict):
            raise self.unsupported(name)
        return value

    def without(self, *names: str) -> HfConfig:
        """Return a view without some options; options read through it count as read here."""
        return self._like({name: value for name, value in self._values.items() if name not in names})

    def or_else(self, **defaults: Any) -> HfConfig:
        """Return a view in which absent (not null) options have the family's default."""
        return self._like({**defaults, **self._values})

    def also_called(self, older: Mapping[str, str]) -> HfConfig:
        """Return a view in which options with an older name are found under their newer one."""
        self.served(*older)
        newer = {name: self._values[old] for old, name in older.items() if old in self._values}
        return self._like({**newer, **self._values})

    def inner(self, name: str) -> HfConfig:
        """Return the nested object `name`, with the outer model type; `check` covers both."""
        values = {'model_type': self._values.get('model_type'), **{
            key: value for key, value in self.mapping(name).items() if key != 'model_type'}}
        self._inner.append(HfConfig(values))
        return self._inner[-1]

    def _like(self, values: Mapping[str, Any]) -> HfConfig:
        other = HfConfig(values)
        other._read, other._inner = self._read, self._inner
        return other

    def served(self, *names: str) -> None:
        """Mark options as read whose effect shows in the tensors, so that ModelConfig needs no field for them."""
        self._read.update(names)

    def only(self, name: str, *supported: Any) -> None:
        """Raise UnsupportedModelError, naming the option, where it is set to a value other than those."""
        if self.get(name) not in (None, *supported):
            raise self.unsupported(name)

    def activation(self, name: str = 'hidden_act', default: str = 'silu') -> Activation:
        """Return the decoder's name of an activation function."""
        value = self.get(name, default)
        if value not in _ACTIVATIONS:
            raise self.unsupported(name)
        return _ACTIVATIONS[value]

    def tokens(self) -> TokenFields:
        """Return the special tokens that begin and end a text."""
        bos = self.get('bos_token_id')
        if bos is not None and type(bos) is not int:
            raise self.unsupported('bos_token_id')
        # Some tools write -1 for none.
        return {'bos_token_id': bos if bos is not None and bos >= 0 else None,
                'eos_token_ids': end_tokens(self.get('eos_token_id'))}

    def unsupported(self, name: str) -> UnsupportedModelError:
        """Return the error that names an option and its value."""
        if self._values.get(name) is None:
            return UnsupportedModelError(f'config.json lacks {name}')
        return UnsupportedModelError(f'{name} = {self._values[name]!r} is not supported for the model type '
                                     f"'{self._values.get('model_type')}'")

    def check(self) -> None:
        """Raise UnsupportedModelError for an unread option that would change what the model computes."""
        if self._values.get('is_causal') is False:
            raise self.unsupported('is_causal')
        for name, value in self._values.items():
            if name in self._read or value is None or value is False:
                continue
            if name in _DECISIVE and value != _DECISIVE[name]:
                raise self.unsupported(name)
            if any(part in name for part in _FOREIGN) and value not in (0, [], {}):
                raise self.unsupported(name)
        for inner in self._inner:
            inner.check()


def end_tokens(value: Any) -> list[int]:
    """Return the ids of an `eos_token_id` (one, a list, or null); UnsupportedModelError for anything else."""
    ids = value if isinstance(value, list) else [] if value is None else [value]
    if not all(type(id_) is int for id_ in ids):
        raise UnsupportedModelError(f'eos_token_id = {value!r} is not supported: give one id or a list of them')
    return [id_ for id_ in ids if id_ >= 0]  # some tools write -1 for none
