# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""LLaMA and what is built like it: SmolLM2, TinyLlama, Vicuna."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinychat_core.errors import UnsupportedModelError

# Options that change what is computed, with the only value that is served.
_FIXED = {'hidden_act': 'silu', 'attention_bias': False, 'mlp_bias': False, 'rope_scaling': None}


def describe(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the model's description from config.json; UnsupportedModelError names an option that is not served."""
    for option, served in _FIXED.items():
        if config.get(option, served) not in (served, None):
            raise UnsupportedModelError(f'{option} = {config[option]} is not supported for this family')
    heads = config['num_attention_heads']
    head_dim = config.get('head_dim') or config['hidden_size'] // heads
    eos = config.get('eos_token_id')
    return {
        'vocab_size': config['vocab_size'],
        'hidden_size': config['hidden_size'],
        'intermediate_size': config['intermediate_size'],
        'layers': config['num_hidden_layers'],
        'heads': heads,
        'kv_heads': config.get('num_key_value_heads') or heads,
        'head_dim': head_dim,
        'context_length': config['max_position_embeddings'],
        'norm': 'rms',
        'norm_eps': config['rms_norm_eps'],
        'activation': 'silu',
        'gated': True,
        'rope': {'theta': config.get('rope_theta', 10000.0), 'dim': head_dim},
        'tied_head': bool(config.get('tie_word_embeddings', False)),
        'bos_token_id': config.get('bos_token_id'),
        'eos_token_ids': eos if isinstance(eos, list) else [] if eos is None else [eos],
    }
