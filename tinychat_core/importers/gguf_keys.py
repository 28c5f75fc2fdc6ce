# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Which metadata of a GGUF file changes nothing, as llama.cpp reads it (src/llama-hparams.h, src/llama-model.cpp).

Keys are without the architecture's name. What is left afterwards has a meaning, or is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
import logging
from math import isclose
from typing import Any

_log = logging.getLogger(__name__)

# No model that is served here reads them, whatever they are.
_UNREAD = frozenset((
    'vocab_size', 'rope.scaling.finetuned', 'tensor_data_layout', 'mm.tokens_per_image', 'attention.layer_norm_epsilon',
    'decoder_start_token_id'))
# The values at which they change nothing; llama.cpp takes 0 for an option that is not set.
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
# What they change nothing at is the value of another key.
_SAME_AS = {
    'embedding_length_out': 'embedding_length',
    'attention.key_length_swa': 'attention.key_length',
    'attention.value_length_swa': 'attention.key_length',
    'rope.dimension_count_swa': 'rope.dimension_count',
}
# They say nothing of a model without experts, or without a window.
_OF_EXPERTS = ('expert_', 'leading_dense_block_count', 'interleave_moe_layer_step')
_OF_WINDOWS = ('attention.sliding_window_pattern', 'rope.freq_base_swa')
# Keys that may have a value for each decoder layer.
_PER_LAYER = ('attention.head_count', 'attention.head_count_kv', 'feed_forward_length')


def effective(options: Mapping[str, Any], label: str) -> dict[str, Any]:
    """
    Return the options that change what is computed; an array with one value for all decoder layers as that value.

    `label` names the file in a warning.
    """
    left = {name: _single(value, options) if name in _PER_LAYER else value for name, value in options.items()}
    if _number(left.get('pooling_type')) in (1, 2, 3, 4):
        _log.warning('%s: pooling_type = %s: it was made for embeddings, and writes text here', label,
                     left.pop('pooling_type'))
    window, context = _number(left.get('attention.sliding_window')), _number(left.get('context_length'))
    if window is not None and context is not None and window >= context:
        del left['attention.sliding_window']  # it is over all that there is
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
    """Return the value of an array that has the same one for every decoder layer; anything else as it is."""
    if not isinstance(value, list) or not value or len(value) != options.get('block_count'):
        return value
    return value[0] if value.count(value[0]) == len(value) else value


def _head_width(options: Mapping[str, Any]) -> Any:
    """Return how many numbers a head has; None where the file does not say it."""
    if 'attention.key_length' in options:
        return options['attention.key_length']
    hidden, heads = options.get('embedding_length'), _single(options.get('attention.head_count'), options)
    return hidden // heads if type(hidden) is int and type(heads) is int and heads > 0 else None


def _number(value: Any) -> float | None:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
