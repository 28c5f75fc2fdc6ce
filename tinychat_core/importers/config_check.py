# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What a directory's config.json says, compared with its tensors: where they differ, a warning says what is taken."""

from __future__ import annotations

from collections.abc import Mapping
import logging
from pathlib import Path
from typing import Any

import numpy as np

from tinychat_core.importers.packed_source import PackedSource
from tinychat_core.importers.source import Source

_log = logging.getLogger(__name__)

_BIASED = ('attention_bias', 'mlp_bias', 'bias', 'use_bias', 'qkv_bias')
_WRITERS = ('ForCausalLM', 'LMHeadModel', 'ForConditionalGeneration')
_EMBEDDERS = ('modules.json', 'config_sentence_transformers.json', '1_Pooling')


def check_config(directory: Path, config: Mapping[str, Any]) -> None:
    """Warn where a model was not made to write text, or has its rotary positions twice."""
    if config.get('rope_scaling') and config.get('rope_parameters'):
        _log.warning('%s: its config.json has rope_scaling and rope_parameters; rope_scaling is taken, with the '
                     'rope_theta of rope_parameters', directory)
    classes = config.get('architectures')
    named = classes[0] if isinstance(classes, list) and classes and isinstance(classes[0], str) else None
    found = next((name for name in _EMBEDDERS if (directory / name).exists()), None)
    if found is not None:
        _log.warning('%s was made for embeddings (it has %s), and writes text here', directory, found)
    elif named is not None and not named.endswith(_WRITERS):
        _log.warning('%s: architectures = %s: it was not made to write text, and writes text here', directory, named)


def own_head(directory: Path, source: Source, embedding: str, head: str) -> bool:
    """
    Return whether a model whose configuration ties its head to the embedding has a head of its own all the same.

    transformers 5 uses such a head, too (modeling_utils, `tie_weights`); a copy of the embedding is none.
    """
    if f'{head}.weight' not in source.names:
        return False
    if isinstance(source, PackedSource) and source.is_packed(f'{head}.weight'):
        _log.warning('%s: tie_word_embeddings is true, but its head is quantized by itself; it is used', directory)
        return True
    if isinstance(source, PackedSource) and source.is_packed(f'{embedding}.weight'):
        return False
    first, second = source.matrix(f'{embedding}.weight'), source.matrix(f'{head}.weight')
    if first.format == second.format and np.array_equal(first.weight, second.weight):
        return False
    _log.warning('%s: tie_word_embeddings is true, but its head is not the embedding; it is used', directory)
    return True


def check_biases(directory: Path, source: Source, config: Mapping[str, Any]) -> None:
    """Warn where matrices have biases that the configuration says they have not; zeros, as GPTQ writes, are none."""
    if any(config.get(name) for name in _BIASED):
        return
    expected = ('q_proj', 'k_proj', 'v_proj') if config.get('model_type') == 'qwen2' else ()
    for name in source.names:
        matrix, _, part = name.rpartition('.')
        if part == 'bias' and matrix.endswith('_proj') and not matrix.endswith(expected or ('?',)) and (
                source.vector(name).any()):
            _log.warning('%s has biases (%s), which its config.json does not tell (attention_bias, mlp_bias); they are '
                         'used', directory, name)
            return
