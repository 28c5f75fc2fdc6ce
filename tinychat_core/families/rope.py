# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Rotary positions in a config.json: `rope_parameters`, or before transformers 5 `rope_theta` and `rope_scaling`.

Every kind of scaling becomes a table of inverse frequencies and a factor of cos and sin, which is all that ModelConfig
stores: the unscaled table as a base and a width, any other as numbers. Where a long context needs another table,
ModelConfig has both (see `ModelConfig.inverse_frequencies`).
"""

from __future__ import annotations

from collections.abc import Mapping
import math
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

from tinychat_core.checkpoint.model_config import as_floats, inverse_frequencies, Rope
from tinychat_core.errors import shown, UnsupportedModelError
from tinychat_core.families.hf_config import HfConfig

_LARGEST = 1e15  # above any base, factor or context; also excludes NaN and infinity

# Parameters that do not depend on the kind of scaling.
_OF_ANY_KIND = ('rope_theta', 'partial_rotary_factor')

Frequencies = npt.NDArray[np.float64]

# Every parameter that one of the kinds reads, and those without a meaning of their own.
_KNOWN = frozenset((
    'rope_type', 'type', 'rope_theta', 'partial_rotary_factor', 'original_max_position_embeddings', 'factor',
    'low_freq_factor', 'high_freq_factor', 'attention_factor', 'beta_fast', 'beta_slow', 'mscale', 'mscale_all_dim',
    'truncate', 'short_factor', 'long_factor', 'finetuned'))


class RopeFields(TypedDict, total=False):
    """The fields of ModelConfig for the rotary embedding."""

    rope: Rope
    rope_inv_freq: list[float]
    rope_scale: float
    rope_long_inv_freq: list[float]
    rope_long_after: int


class PositionFields(RopeFields):
    """The same with the length of the context."""

    context_length: int


def rope(config: HfConfig, head_dim: int, context: int, *, theta: float = 10000.0) -> PositionFields:
    """
    Return the fields of ModelConfig for the rotary embedding and the context length.

    `context` is `max_position_embeddings`, which linear, dynamic and YaRN scaling extend by their factor (transformers
    documents that the option is not updated). `theta` is the family's default base. Raises UnsupportedModelError for
    an unknown kind of scaling, or one whose parameters are missing.
    """
    scaling = {'rope_theta': config.number('rope_theta', theta),
               'partial_rotary_factor': config.number('partial_rotary_factor', 1.0)}
    scaling |= parameters(config, scaling)
    # Phi-3 has it outside of the other parameters, where it takes precedence.
    if config.get('original_max_position_embeddings') is not None:
        scaling['original_max_position_embeddings'] = config.size('original_max_position_embeddings')
    extended = context
    if kind_of(scaling) in ('linear', 'dynamic', 'yarn') and 'factor' in scaling:
        original = context if kind_of(scaling) == 'dynamic' else _original(scaling, context)
        extended = max(context, int(original * _number(scaling, 'factor')))
    return PositionFields(context_length=extended, **table(scaling, head_dim, context))


def parameters(config: HfConfig, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the scaling parameters: all of `rope_scaling` if there is one, else those of `rope_parameters`.

    transformers 5 does the same, and takes the base and the rotated share that `rope_scaling` lacks from `defaults`,
    the options next to it. UnsupportedModelError where `rope_parameters` has others, which is probably a mistake.
    """
    older, newer = ({name: value for name, value in config.mapping(option).items() if value is not None}
                    for option in ('rope_scaling', 'rope_parameters'))
    if not older:
        return newer
    for name in _OF_ANY_KIND:
        if name in newer and newer[name] != older.get(name, defaults[name]):
            raise UnsupportedModelError(
                f'{name} = {shown(newer[name])} of rope_parameters is ignored next to rope_scaling, which means '
                f'{shown(older.get(name, defaults[name]))}: write {name} into rope_scaling, or everything into '
                'rope_parameters')
    return older


def kind_of(scaling: Mapping[str, Any]) -> Any:
    """Return the name of the kind of scaling."""
    return scaling.get('rope_type', scaling.get('type', 'default'))


def table(scaling: Mapping[str, Any], head_dim: int, context: int) -> RopeFields:
    """Return the fields of ModelConfig for a complete set of parameters; `context`: max_position_embeddings."""
    for name, value in scaling.items():
        if name not in _KNOWN:
            raise _unsupported(name, value)
    kind = kind_of(scaling)
    if kind not in ('longrope', 'su') and ('short_factor' in scaling or 'long_factor' in scaling):
        raise UnsupportedModelError(f"short_factor and long_factor of the rope are not supported for the type '{kind}'")
    theta, share = _number(scaling, 'rope_theta'), _number(scaling, 'partial_rotary_factor')
    dim = int(head_dim * share)
    if not 0 < dim <= head_dim or dim % 2:
        raise _unsupported('partial_rotary_factor', share)
    original = _original(scaling, context)
    inverse = inverse_frequencies(theta, dim)
    if kind == 'default':
        return {'rope': Rope(theta, dim)}
    if kind == 'linear':
        return _numbers(inverse / _number(scaling, 'factor'))
    if kind == 'dynamic':
        # In the original the base grows with the text; here it is the one for a full cache.
        factor = _number(scaling, 'factor')
        base = theta * (factor * factor - (factor - 1)) ** (dim / (dim - 2))
        return {'rope': Rope(theta, dim), **_long(inverse_frequencies(base, dim), context)}
    if kind == 'llama3':
        return _numbers(_llama3(inverse, original, scaling))
    if kind == 'yarn':
        factor = _number(scaling, 'factor') if 'factor' in scaling else context / original
        return _numbers(_yarn(inverse, theta, original, factor, scaling), _yarn_scale(factor, scaling))
    if kind in ('longrope', 'su'):
        scale = _longrope_scale(scaling, context / original, original)
        short, long = (_factors(scaling, name, len(inverse)) for name in ('short_factor', 'long_factor'))
        return {**_numbers(inverse / short, scale), **_long(inverse / long, original)}
    raise UnsupportedModelError(f"the rope type '{kind}' is not supported")


def _llama3(inverse: Frequencies, original: float, scaling: Mapping[str, Any]) -> Frequencies:
    """Divide low frequencies by the factor, keep high ones, and blend those between (LLaMA 3.1)."""
    factor, low, high = (_number(scaling, name) for name in ('factor', 'low_freq_factor', 'high_freq_factor'))
    turns = original * inverse / (2 * math.pi)
    blend = np.clip((turns - low) / (high - low), 0, 1)
    return inverse * (blend + (1 - blend) / factor)


def _yarn(inverse: Frequencies, theta: float, original: float, factor: float,
          scaling: Mapping[str, Any]) -> Frequencies:
    """Interpolate dimensions that turn fewer than beta_slow times in the original context (Peng et al., 2023)."""
    dim = 2 * len(inverse)

    def dimension(turns: float) -> float:
        return dim * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(theta))

    low, high = dimension(_number(scaling, 'beta_fast', 32)), dimension(_number(scaling, 'beta_slow', 1))
    if scaling.get('truncate', True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dim - 1)
    ramp = np.clip((np.arange(dim // 2) - low) / ((high - low) or 0.001), 0, 1)
    return inverse * (1 - ramp) + inverse / factor * ramp


def _yarn_scale(factor: float, scaling: Mapping[str, Any]) -> float:
    if 'attention_factor' in scaling:
        return _number(scaling, 'attention_factor')

    def scale(weight: float) -> float:
        return 0.1 * weight * math.log(factor) + 1 if factor > 1 else 1.0

    if scaling.get('mscale') and scaling.get('mscale_all_dim'):
        return scale(_number(scaling, 'mscale')) / scale(_number(scaling, 'mscale_all_dim'))
    return scale(1.0)


def _longrope_scale(scaling: Mapping[str, Any], ratio: float, original: float) -> float:
    if 'attention_factor' in scaling:
        return _number(scaling, 'attention_factor')
    factor = _number(scaling, 'factor', ratio)
    return math.sqrt(1 + math.log(factor) / math.log(original)) if factor > 1 else 1.0


def _factors(scaling: Mapping[str, Any], name: str, count: int) -> Frequencies:
    values = scaling.get(name)
    numbers = isinstance(values, list) and len(values) == count and all(
        type(value) in (int, float) and value > 0 for value in values)
    if not numbers:
        raise UnsupportedModelError(f'{name} of the rope does not have {count} positive numbers')
    return np.asarray(values, dtype=np.float64)


def _original(scaling: Mapping[str, Any], context: int) -> float:
    return _number(scaling, 'original_max_position_embeddings', context)


def _numbers(inverse: Frequencies, scale: float = 1.0) -> RopeFields:
    return {'rope_inv_freq': as_floats(inverse), 'rope_scale': float(scale)}


def _long(inverse: Frequencies, after: float) -> RopeFields:
    return {'rope_long_inv_freq': as_floats(inverse), 'rope_long_after': int(after)}


def _number(scaling: Mapping[str, Any], name: str, default: float | None = None) -> float:
    value = scaling.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < _LARGEST:
        raise _unsupported(name, value)
    return float(value)


def _unsupported(name: str, value: Any) -> UnsupportedModelError:
    return UnsupportedModelError(f'{name} = {value!r} of the rope is not supported')
