# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
What a directory's config.json says, compared with its tensors and with what transformers 5 reads of it.

Where they differ, a warning says what is taken.
"""

from __future__ import annotations

from collections.abc import Mapping
import logging
from pathlib import Path
from typing import Any

import numpy as np

from tinychat_core.errors import shown, UnsupportedModelError
from tinychat_core.families.rope import kind_of
from tinychat_core.importers.quantized_source import QuantizedSource
from tinychat_core.importers.source import Source

_log = logging.getLogger(__name__)

_BIASED = ('attention_bias', 'mlp_bias', 'bias', 'use_bias', 'qkv_bias')
# Model types whose classes rotate whole heads.
_WHOLE_HEADS = ('llama', 'mistral', 'qwen2', 'qwen3', 'gemma2', 'gemma3_text', 'falcon', 'qwen2_5_vl',
                'qwen2_5_vl_text', 'qwen3_vl_text')
_WRITERS = ('ForCausalLM', 'LMHeadModel', 'ForConditionalGeneration', 'ChatModel')
_EMBEDDERS = ('modules.json', 'config_sentence_transformers.json', '1_Pooling')


def check_config(directory: Path, config: Mapping[str, Any]) -> None:
    """Warn about models that were not trained to generate text, and about contradictory options."""
    older, newer = config.get('rope_scaling'), config.get('rope_parameters')
    if older and newer and older != newer and config.get('model_type') != 'gemma3_text':
        _log.warning('%s: its config.json has rope_scaling and rope_parameters; rope_scaling is used', directory)
    scaling = older or newer
    if isinstance(scaling, dict) and kind_of(scaling) == 'dynamic':
        _log.warning('%s: its rotary positions are scaled by how long the text is; here their base is that of a full '
                     'context wherever that is longer than max_position_embeddings', directory)
    classes = config.get('architectures')
    named = classes[0] if isinstance(classes, list) and classes and isinstance(classes[0], str) else None
    found = next((name for name in _EMBEDDERS if (directory / name).exists()), None)
    if found is not None:
        _log.warning('%s is an embedding model (it has %s), whose answers will be poor', directory, found)
    elif named is not None and not named.endswith(_WRITERS):
        _log.warning('%s: architectures = %s does not generate text, so its answers will be poor', directory, named)


def as_read_by_transformers(directory: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the options without those that transformers' class of this model type ignores, with a warning for each.

    GGUF files use these options as written, so the decoder supports them. Raises UnsupportedModelError for options that
    transformers cannot run.
    """
    made = dict(config)
    if isinstance(made.get('text_config'), dict):
        made['text_config'] = as_read_by_transformers(directory, {'model_type': 'gemma3_text', **made['text_config']})
    model_type = made.get('model_type')
    if model_type in _WHOLE_HEADS:
        _leave_out_share(directory, made)
    types = made.get('layer_types')
    if model_type == 'phi3' and types is not None:
        del made['layer_types']
        if made.get('sliding_window') is not None and not (
                isinstance(types, list) and set(types) <= {'sliding_attention'}):
            _log.warning('%s: layer_types is ignored for the model type %s, as in transformers: all layers have the '
                         'sliding_window', directory, model_type)
    return made


def _leave_out_share(directory: Path, config: dict[str, Any]) -> None:
    """Remove `partial_rotary_factor` from the options and from those of the rotary embedding."""
    found = [config]
    for name in ('rope_scaling', 'rope_parameters'):
        if isinstance(config.get(name), dict):
            config[name] = {key: dict(value) if isinstance(value, dict) else value
                            for key, value in config[name].items()}
            found += [config[name], *(value for value in config[name].values() if isinstance(value, dict))]
    shares = [options.pop('partial_rotary_factor', None) for options in found]
    share = next((share for share in shares if share not in (None, 1)), None)
    if share is None:
        return
    if any(kind_of(options) != 'default' for options in found[1:]):
        raise UnsupportedModelError(f'{directory}: partial_rotary_factor = {shown(share)} beside scaled rotary '
                                    f"positions is not supported for the model type '{config['model_type']}'")
    _log.warning('%s: partial_rotary_factor = %s is ignored for the model type %s, as in transformers: whole heads '
                 'are rotated', directory, shown(share), config['model_type'])


def own_head(directory: Path, source: Source, embedding: str, head: str) -> bool:
    """
    Return whether a model has its own head although its configuration ties the head to the embedding.

    transformers 5 uses such a head, too (modeling_utils, `tie_weights`). A copy of the embedding does not count.
    """
    if f'{head}.weight' not in source.names:
        return False
    if isinstance(source, QuantizedSource) and source.is_quantized(f'{head}.weight'):
        _log.warning('%s: tie_word_embeddings is true, but the model has its own quantized head, which is '
                     'used', directory)
        return True
    if isinstance(source, QuantizedSource) and source.is_quantized(f'{embedding}.weight'):
        return False
    first, second = source.matrix(f'{embedding}.weight'), source.matrix(f'{head}.weight')
    if first.format == second.format and np.array_equal(first.weight, second.weight):
        return False
    _log.warning('%s: tie_word_embeddings is true, but the model has its own head, which is used', directory)
    return True


def check_biases(directory: Path, source: Source, config: Mapping[str, Any], left_out: tuple[str, ...]) -> None:
    """
    Warn about biases that the configuration does not declare; zeros, which GPTQ writes, do not count.

    `left_out`: how the names of tensors begin that do not belong to the text part.
    """
    if any(config.get(name) for name in _BIASED) or (
            config.get('model_type') == 'opt' and config.get('enable_bias') is not False):
        return
    expected = ('q_proj', 'k_proj', 'v_proj') if config.get('model_type') in ('qwen2', 'qwen2_5_vl') else ('?',)
    names = set(source.names)
    for name in source.names:
        matrix, _, part = name.rpartition('.')
        if name.startswith(left_out):
            continue
        if part == 'bias' and not matrix.endswith(expected) and f'{matrix}.weight' in names and (
                len(source.shape(f'{matrix}.weight')) == 2) and source.vector(name).any():
            _log.warning('%s has biases (%s), which its config.json does not mention (attention_bias, mlp_bias); they '
                         'are used', directory, name)
            return
