# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A Hugging Face config.json, read so that no option goes unseen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinychat_core.errors import UnsupportedModelError

# Options that change what a model computes, in whichever family they appear, and the value at which they do
# not. What a family does not read must be absent, null or this.
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
# Parts of the names of options that belong to other kinds of models: experts, states, compressed caches.
_FOREIGN = ('expert', 'moe', 'mamba', 'ssm', 'lora_rank', 'num_kv_shared')

# No model has larger sizes, and more layers or heads: a damaged count would fill the memory with a list of them.
_LARGEST, _MOST = 1 << 24, 1 << 12
_LARGEST_NUMBER = 1e15  # NaN and infinity are not below it

_ACTIVATIONS = {
    'silu': 'silu', 'swish': 'silu', 'gelu': 'gelu', 'gelu_new': 'gelu_tanh', 'gelu_fast': 'gelu_tanh',
    'gelu_pytorch_tanh': 'gelu_tanh', 'relu': 'relu'}


class Config:
    """The options by name; every reading is noted, and `check` refuses what was left unread."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        """Hold the content of a config.json."""
        self._values = values
        self._read = {'model_type'}
        self._inner: list[Config] = []

    def get(self, name: str, default: Any = None) -> Any:
        """Return an option; `default` where it is absent or null."""
        self._read.add(name)
        value = self._values.get(name)
        return default if value is None else value

    def size(self, name: str, default: int | None = None) -> int:
        """Return a positive whole number; UnsupportedModelError where it is missing or anything else."""
        value = self.get(name, default)
        if type(value) is not int or not 0 < value <= (_MOST if 'layers' in name or 'heads' in name else _LARGEST):
            raise self.unsupported(name)
        return value

    def number(self, name: str, default: float | None = None) -> float:
        """Return a number; UnsupportedModelError where it is missing or anything else."""
        value = self.get(name, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < _LARGEST_NUMBER:
            raise self.unsupported(name)
        return value

    def mapping(self, name: str) -> Mapping[str, Any]:
        """Return a group of options, empty where it is absent; UnsupportedModelError where it is anything else."""
        value = self.get(name, {})
        if not isinstance(value, dict):
            raise self.unsupported(name)
        return value

    def without(self, *names: str) -> Config:
        """Return a reading of all other options; what it reads counts as read here."""
        return self._like({name: value for name, value in self._values.items() if name not in names})

    def or_else(self, **defaults: Any) -> Config:
        """Return a reading in which an option that is absent (not null) has a default of the family's."""
        return self._like({**defaults, **self._values})

    def also_called(self, older: Mapping[str, str]) -> Config:
        """Return a reading in which an option that is there by an older name has its newer one."""
        self.served(*older)
        newer = {name: self._values[old] for old, name in older.items() if old in self._values}
        return self._like({**newer, **self._values})

    def inner(self, name: str) -> Config:
        """Return a reading of a group of options, with the model type of the whole; `check` looks at both."""
        values = {'model_type': self._values.get('model_type'), **{
            key: value for key, value in self.mapping(name).items() if key != 'model_type'}}
        self._inner.append(Config(values))
        return self._inner[-1]

    def _like(self, values: Mapping[str, Any]) -> Config:
        other = Config(values)
        other._read, other._inner = self._read, self._inner
        return other

    def served(self, *names: str) -> None:
        """Note options that need no field of the description, whatever they are: the tensors tell."""
        self._read.update(names)

    def only(self, name: str, *served: Any) -> None:
        """Raise UnsupportedModelError, naming the option, where it is there and none of the served values."""
        if self.get(name) not in (None, *served):
            raise self.unsupported(name)

    def activation(self, name: str = 'hidden_act', default: str = 'silu') -> str:
        """Return our name for an activation function."""
        value = self.get(name, default)
        if value not in _ACTIVATIONS:
            raise self.unsupported(name)
        return _ACTIVATIONS[value]

    def tokens(self) -> dict[str, Any]:
        """Return the fields of the description for beginning and end of a text."""
        bos = self.get('bos_token_id')
        if bos is not None and type(bos) is not int:
            raise self.unsupported('bos_token_id')
        # A negative number is no token: some tools write -1 for none.
        return {'bos_token_id': bos if bos is not None and bos >= 0 else None,
                'eos_token_ids': end_tokens(self.get('eos_token_id'))}

    def unsupported(self, name: str) -> UnsupportedModelError:
        """Return the error that names an option and its value."""
        if self._values.get(name) is None:
            return UnsupportedModelError(f'config.json lacks {name}')
        return UnsupportedModelError(f'{name} = {self._values[name]!r} is not supported for the model type '
                                     f"'{self._values.get('model_type')}'")

    def check(self) -> None:
        """Raise UnsupportedModelError for an option that was not read and would change what is computed."""
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
    """Return the ids of an `eos_token_id`: one, several, or null; UnsupportedModelError where it is anything else."""
    ids = value if isinstance(value, list) else [] if value is None else [value]
    if not all(type(id_) is int for id_ in ids):
        raise UnsupportedModelError(f'eos_token_id = {value!r} is not supported: a token has a number')
    return [id_ for id_ in ids if id_ >= 0]  # some tools write -1 for none
