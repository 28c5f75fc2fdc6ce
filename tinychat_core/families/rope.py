# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Rotary positions in a config.json: `rope_parameters`, or before transformers 5 `rope_theta` and `rope_scaling`.

Every way of scaling ends in a table of inverse frequencies and a factor of cos and sin, which is all that a
description says: a plain one as {'theta', 'dim'}, any other in numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from tinychat_core.errors import UnsupportedModelError
from tinychat_core.families.config import Config

Frequencies = npt.NDArray[np.float64]


def rope(config: Config, head_dim: int, context: int, *, theta: float = 10000.0) -> dict[str, Any]:
    """
    Return the fields of the description that tell positions, and how long the context is.

    `theta` is what the family takes where the configuration does not say. Raises UnsupportedModelError for an
    unknown way of scaling, or one whose parameters are missing.
    """
    scaling = {'rope_theta': config.number('rope_theta', theta),
               'partial_rotary_factor': config.number('partial_rotary_factor', 1.0),
               'original_max_position_embeddings': config.size('original_max_position_embeddings', context),
               **parameters(config)}
    return {'context_length': context, **table(scaling, head_dim, context)}


def parameters(config: Config) -> dict[str, Any]:
    """Return the parameters of scaling, whichever of the two options has them."""
    scaling = {**config.mapping('rope_scaling'), **config.mapping('rope_parameters')}
    return {name: value for name, value in scaling.items() if value is not None}


def table(scaling: Mapping[str, Any], head_dim: int, context: int) -> dict[str, Any]:
    """Return the fields of the description for one whole set of parameters."""
    kind = scaling.get('rope_type', scaling.get('type', 'default'))
    theta = _number(scaling, 'rope_theta')
    dim = int(head_dim * _number(scaling, 'partial_rotary_factor'))
    original = int(_number(scaling, 'original_max_position_embeddings'))
    plain = {'rope': {'theta': theta, 'dim': dim}}
    if kind == 'default':
        return plain
    if kind == 'dynamic':
        return plain  # within the context that the model was trained for, nothing is scaled
    inverse = inverse_frequencies(theta, dim)
    if kind == 'linear':
        return _numbers(inverse / _number(scaling, 'factor'))
    if kind == 'llama3':
        return _numbers(_llama3(inverse, original, scaling))
    if kind == 'yarn':
        return _numbers(_yarn(inverse, theta, original, scaling), _yarn_scale(scaling))
    if kind in ('longrope', 'su'):
        short = np.asarray(scaling.get('short_factor', ()), dtype=np.float64)
        if short.shape != inverse.shape:
            raise UnsupportedModelError(f'short_factor of the rope has not {len(inverse)} numbers')
        # The long factors take over beyond the original context, and would change what is in the cache.
        return {**_numbers(inverse / short, _longrope_scale(scaling, context / original, original)),
                'context_length': min(context, original)}
    raise UnsupportedModelError(f"the rope type '{kind}' is not supported")


def inverse_frequencies(theta: float, dim: int) -> Frequencies:
    """Return theta^(-2i/dim) for the pairs i of a head (Su et al., 2021)."""
    return 1.0 / theta ** (np.arange(0, dim, 2, dtype=np.float64) / dim)


def _llama3(inverse: Frequencies, original: int, scaling: Mapping[str, Any]) -> Frequencies:
    """Divide long waves by the factor, leave short ones, and blend those between (LLaMA 3.1)."""
    factor, low, high = (_number(scaling, name) for name in ('factor', 'low_freq_factor', 'high_freq_factor'))
    turns = original * inverse / (2 * math.pi)
    blend = np.clip((turns - low) / (high - low), 0, 1)
    return inverse * (blend + (1 - blend) / factor)


def _yarn(inverse: Frequencies, theta: float, original: int, scaling: Mapping[str, Any]) -> Frequencies:
    """Interpolate the dimensions that turn less than beta_slow times in the original context (Peng et al., 2023)."""
    factor, dim = _number(scaling, 'factor'), 2 * len(inverse)

    def dimension(turns: float) -> float:
        return dim * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(theta))

    low, high = dimension(scaling.get('beta_fast') or 32), dimension(scaling.get('beta_slow') or 1)
    if scaling.get('truncate', True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dim - 1)
    ramp = np.clip((np.arange(dim // 2) - low) / ((high - low) or 0.001), 0, 1)
    return inverse * (1 - ramp) + inverse / factor * ramp


def _yarn_scale(scaling: Mapping[str, Any]) -> float:
    if 'attention_factor' in scaling:
        return _number(scaling, 'attention_factor')
    factor = _number(scaling, 'factor')

    def scale(weight: float) -> float:
        return 0.1 * weight * math.log(factor) + 1 if factor > 1 else 1.0

    if scaling.get('mscale') and scaling.get('mscale_all_dim'):
        return scale(_number(scaling, 'mscale')) / scale(_number(scaling, 'mscale_all_dim'))
    return scale(1.0)


def _longrope_scale(scaling: Mapping[str, Any], ratio: float, original: int) -> float:
    if 'attention_factor' in scaling:
        return _number(scaling, 'attention_factor')
    factor = _number(scaling, 'factor') if 'factor' in scaling else ratio
    return math.sqrt(1 + math.log(factor) / math.log(original)) if factor > 1 else 1.0


def _numbers(inverse: Frequencies, scale: float = 1.0) -> dict[str, Any]:
    return {'rope_inv_freq': inverse.astype(np.float32).tolist(), 'rope_scale': float(scale)}


def _number(scaling: Mapping[str, Any], name: str) -> float:
    value = scaling.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
        raise UnsupportedModelError(f'{name} = {value!r} of the rope is not supported')
    return float(value)
