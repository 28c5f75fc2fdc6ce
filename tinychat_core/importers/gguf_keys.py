# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Metadata of a GGUF file that has no effect, following llama.cpp (src/llama-hparams.h, src/llama-model.cpp).

Keys come without the architecture's name. The importer uses the remaining keys, or refuses them by name.
"""

from __future__ import annotations

from collections.abc import Mapping
import logging
from math import isclose
from typing import Any

_log = logging.getLogger(__name__)

# No supported model reads these.
_UNREAD = frozenset((
    'vocab_size', 'rope.scaling.finetuned', 'tensor_data_layout', 'mm.tokens_per_image', 'attention.layer_norm_epsilon',
    'decoder_start_token_id'))
# Values without an effect; llama.cpp treats 0 as not set.
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    'attention.causal': (True,),
    'attention.clamp_kqv': (0,),
    'attention.max_alibi_bias': (0,),
    'attention.sliding_window': (0,),
    'attention.q_lora_rank': (0,),
    'attention.kv_lora_rank': (0,),
    'attention.shared_kv_layers': (0,),
    'attention.output_scale': (0, 1),
    'attention.temperature_length': (0,),
    'attention.temperature_scale': (0,),
    'attn_logit_softcapping': (0,),
    'final_logit_softcapping': (0,),
    'router_logit_softcapping': (0,),
    'embedding_scale': (0, 1),
    'residual_scale': (0, 1),
    'logit_scale': (0, 1),
    'use_parallel_residual': (False,),
    'swin_norm': (False,),
    'rescale_every_n_layers': (0,),
    'nextn_predict_layers': (0,),
    'n_deepstack_layers': (0,),
    'embedding_length_per_layer_input': (0,),
    'expert_count': (0,),
    'pooling_type': (0, -1, 0xffffffff),
    'rope.dimension_sections': ([0, 0, 0, 0], [0, 0, 0]),
    'rope.scaling.yarn_log_multiplier': (0,),
    'rope.scaling.yarn_ext_factor': (-1, 1),
    'rope.scaling.yarn_attn_factor': (1, -1),
    'rope.scaling.yarn_beta_fast': (32, -1),
    'rope.scaling.yarn_beta_slow': (1, -1),
}
# These have no effect where they equal another key.
_SAME_AS = {
    'embedding_length_out': 'embedding_length',
    'attention.key_length_swa': 'attention.key_length',
    'attention.value_length_swa': 'attention.key_length',
    'rope.dimension_count_swa': 'rope.dimension_count',
}
# These have no effect in a model without experts, or without a sliding window.
_OF_EXPERTS = ('expert_', 'leading_dense_block_count', 'interleave_moe_layer_step')
_OF_WINDOWS = ('attention.sliding_window_pattern', 'rope.freq_base_swa')
# Keys that may have one value per decoder layer.
_PER_LAYER = ('attention.head_count', 'attention.head_count_kv', 'feed_forward_length')


def effective(options: Mapping[str, Any], label: str) -> dict[str, Any]:
    """
    Return the options that have an effect; an array of equal values for all decoder layers becomes that value.

    `label` is the file's name in warnings.
    """
    left = {name: _single(value, options) if name in _PER_LAYER else value for name, value in options.items()}
    if _number(left.get('pooling_type')) in (1, 2, 3, 4):
        _log.warning('%s: pooling_type = %s: this is an embedding model, whose answers will be poor', label,
                     left.pop('pooling_type'))
    window, context = _number(left.get('attention.sliding_window')), _number(left.get('context_length'))
    if window is not None and context is not None and window >= context:
        del left['attention.sliding_window']  # it covers the whole context
    left = {name: value for name, value in left.items() if name not in _UNREAD and not _is_neutral(name, value)}
    for name, other in _SAME_AS.items():
        if name in left and left[name] == options.get(other, _head_width(options)):
            del left[name]
    if 'expert_count' not in left:
        left = {name: value for name, value in left.items() if not name.startswith(_OF_EXPERTS)}
    if 'attention.sliding_window' in options and 'attention.sliding_window' not in left:
        left = {name: value for name, value in left.items() if name not in _OF_WINDOWS}
    scale, width = _number(left.get('attention.scale')), _number(_head_width(options))
    if scale is not None and (scale == 0 or (width and width > 0 and isclose(scale, width ** -0.5, rel_tol=1e-6))):
        del left['attention.scale']
    return left


def _is_neutral(name: str, value: Any) -> bool:
    return any(value == other and isinstance(value, bool) == isinstance(other, bool)
               for other in _NEUTRAL.get(name, ()))


def _single(value: Any, options: Mapping[str, Any]) -> Any:
    """Return the value of an array that is equal for all decoder layers; anything else unchanged."""
    if not isinstance(value, list) or not value or len(value) != options.get('block_count'):
        return value
    return value[0] if value.count(value[0]) == len(value) else value


def _head_width(options: Mapping[str, Any]) -> Any:
    """Return the width of a head; None where the file does not give it."""
    if 'attention.key_length' in options:
        return options['attention.key_length']
    hidden, heads = options.get('embedding_length'), _single(options.get('attention.head_count'), options)
    return hidden // heads if type(hidden) is int and type(heads) is int and heads > 0 else None


def _number(value: Any) -> float | None:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
