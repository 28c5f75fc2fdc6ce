# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Metadata of a GGUF file that changes nothing, and what only looks as if it did not."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_llama

from tinychat_core.checkpoint.manifest import Manifest
from tinychat_core.checkpoint.model_config import ModelConfig
from tinychat_core.importers import import_model
from tinychat_core.importers.gguf_keys import effective


def model(directory: Path, **changes: Any) -> ModelConfig:
    """Return the configuration that a file with changed metadata becomes."""
    directory.mkdir()
    named = {f'llama__{key}': value for key, value in changes.items()}
    source = tiny_llama.save(directory / 'tiny.gguf', tiny_llama.tensors(), **named)
    import_model(str(source), directory / 'out')
    return Manifest.read(directory / 'out').model


@pytest.mark.parametrize('changes', [
    {'rope__scale_linear': 1.0},
    {'rope__scaling__factor': 1.0},
    {'rope__scaling__type': 'linear'},
    {'rope__scaling__type': 'yarn', 'rope__scaling__factor': 1.0},
    {'rope__scaling__type': 'none', 'rope__scaling__factor': 4.0},
    {'rope__scaling__factor': 1.0, 'rope__scale_linear': 4.0},  # the old key counts only without the new one
    {'rope__scaling__attn_factor': 1.0},
    {'rope__scaling__yarn_ext_factor': 1.0, 'rope__scaling__yarn_attn_factor': 1.0,
     'rope__scaling__yarn_beta_fast': 32.0, 'rope__scaling__yarn_beta_slow': 1.0},
    {'pooling_type': 0},
    {'attention__head_count_kv': [1, 1]},
    {'attention__head_count': [3, 3], 'feed_forward_length': [96, 96]},
    {'attention__causal': True},
    {'attention__clamp_kqv': 0.0, 'attention__max_alibi_bias': 0.0},
    {'attention__layer_norm_epsilon': 1e-5},
    {'attention__scale': float(np.float32(32 ** -0.5))},
    {'attention__key_length_swa': 32, 'attention__value_length_swa': 32, 'rope__dimension_count_swa': 32},
    {'attention__sliding_window': 0, 'attention__sliding_window_pattern': 6, 'rope__freq_base_swa': 1e4},
    {'attention__sliding_window': 128},  # as long as the context
    {'attn_logit_softcapping': 0.0, 'final_logit_softcapping': 0.0},
    {'expert_count': 0, 'expert_used_count': 2, 'expert_feed_forward_length': 7, 'leading_dense_block_count': 1},
    {'logit_scale': 1.0, 'embedding_scale': 0.0, 'residual_scale': 1.0},
    {'use_parallel_residual': False}, {'embedding_length_out': 64}, {'nextn_predict_layers': 0},
], ids=lambda changes: ' '.join(changes))
def test_what_changes_nothing(changes: dict[str, Any], tmp_path: Path, core_log: pytest.LogCaptureFixture) -> None:
    assert model(tmp_path / 'changed', **changes) == model(tmp_path / 'plain')
    assert not core_log.text


@pytest.mark.parametrize('changes', [
    {'rope__scale_linear': 4.0}, {'rope__scaling__factor': 4.0},
    {'rope__scaling__factor': 4.0, 'rope__scale_linear': 2.0, 'rope__scaling__type': 'linear'}])
def test_a_factor_without_a_type_is_linear(changes: dict[str, Any], tmp_path: Path) -> None:
    """So llama.cpp reads it (load_hparams in src/llama-model.cpp)."""
    scaled = model(tmp_path / 'changed', **changes)
    inverse = 10000.0 ** -(np.arange(0, 32, 2) / 32)
    assert np.allclose(scaled.rope_inv_freq, inverse / 4, rtol=1e-6)
    assert scaled.context_length == 4 * 128


def test_an_embedding_model_is_told(tmp_path: Path, core_log: pytest.LogCaptureFixture) -> None:
    assert model(tmp_path / 'changed', pooling_type=3) == model(tmp_path / 'plain')
    assert core_log.text.count('pooling_type = 3: this is an embedding model') == 1


@pytest.mark.parametrize('options', [
    {'attention.causal': 0.5}, {'logit_scale': True}, {'attention.head_count_kv': []},
    {'attention.head_count_kv': [1, 1, 1], 'block_count': 2}, {'embedding_length_out': 32, 'embedding_length': 64},
    {'expert_count': 1, 'expert_used_count': 0}, {'rope.freq_base_swa': 1e4}, {'pooling_type': 'mean'},
    {'attention.scale': 'small'}, {'attention.scale': 0.3, 'embedding_length': 64, 'attention.head_count': [0]}])
def test_what_is_no_neutral_value_is_left(options: dict[str, Any]) -> None:
    assert effective(options, 'a file') == options
