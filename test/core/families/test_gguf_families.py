# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Families in GGUF files, as llama.cpp's converter writes them: the logits are still those of transformers."""
from __future__ import annotations

from pathlib import Path
from typing import Any

from core.plain_gguf import Tensor
from families import gguf_models
from families.measuring import BOUND, error, tokens
from families.tiny_models import Reference
import numpy as np
import pytest

from tinychat_core.checkpoint.manifest import Manifest
from tinychat_core.engine import Engine
from tinychat_core.importers import import_model

COUNT = 182


def reference(name: str, **changes: Any) -> Reference:
    """Return a reference whose weights fp16 holds."""
    made = Reference(name, **changes)
    made.load({name: tensor.half().float().numpy() for name, tensor in made.state.items()})
    return made


def imported_error(source: Path, made: Reference, directory: Path) -> float:
    import_model(str(source), directory / 'ours')
    engine = Engine.open(directory / 'ours', precision='W16A16', threads=2, max_seq_len=COUNT)
    found = engine.score(tokens(COUNT))
    engine.close()
    return error(found, made.score(tokens(COUNT)))


@pytest.mark.parametrize(('name', 'family'), [
    ('llama 3', 'llama'), ('smollm2', 'llama'), ('qwen2', 'qwen2'), ('qwen3', 'qwen3'), ('phi3, a window', 'phi3'),
    ('gemma2', 'gemma2'), ('gemma3', 'gemma3')])
def test_logits_equal_the_reference(name: str, family: str, tmp_path: Path) -> None:
    # A GGUF file does not tell this scale; llama.cpp knows it by the number of layers.
    made = reference(name, **({'query_pre_attn_scalar': 256} if 'gemma' in name else {}))
    assert imported_error(gguf_models.save(made, tmp_path / 'tiny.gguf'), made, tmp_path) <= BOUND
    assert Manifest.read(tmp_path / 'ours').family == family


def test_part_of_a_head_is_rotated(tmp_path: Path) -> None:
    made = reference('phi4 mini, part of the head')
    source = gguf_models.save(made, tmp_path / 'tiny.gguf', rope__dimension_count=96)
    assert imported_error(source, made, tmp_path) <= BOUND


def test_windows_and_rotations_of_gemma_3_that_a_newer_file_tells(tmp_path: Path) -> None:
    made = reference('gemma3', query_pre_attn_scalar=256, sliding_window_pattern=3, rope_local_base_freq=5000.0)
    source = gguf_models.save(made, tmp_path / 'tiny.gguf', attention__sliding_window_pattern=3,
                              rope__freq_base_swa=5000.0, mm__tokens_per_image=256)
    assert imported_error(source, made, tmp_path) <= BOUND
    assert Manifest.read(tmp_path / 'ours').model.windows == [40, 40, 0, 40, 40, 0, 40]


def vector(values: Any) -> Tensor:
    array = np.asarray(values, dtype=np.float32)
    return Tensor('F32', array.shape, array.tobytes())


def test_llama_3_1_has_its_positions_as_divisors_in_a_tensor(tmp_path: Path) -> None:
    made = reference('llama 3.1, rope llama3')
    scaling, pairs = made.config.rope_parameters, np.arange(32)
    inverse = scaling['rope_theta'] ** (-pairs / 32)
    waves = 2 * np.pi / inverse
    smooth = np.clip((64 / waves - 1) / 3, 0, 1)  # low_freq_factor 1, high_freq_factor 4
    source = gguf_models.save(made, tmp_path / 'tiny.gguf', {
        'rope_freqs.weight': vector(1 / (smooth + (1 - smooth) / 8))})
    assert imported_error(source, made, tmp_path) <= BOUND


def test_phi_3_has_its_short_and_long_factors_in_tensors(tmp_path: Path) -> None:
    made = reference('phi3, longrope')
    source = gguf_models.save(
        made, tmp_path / 'tiny.gguf',
        {f'rope_factors_{name}.weight': vector(made.config.rope_parameters[f'{name}_factor'])
         for name in ('short', 'long')},
        rope__scaling__original_context_length=512, rope__scaling__attn_factor=float(np.sqrt(4 / 3)))
    assert imported_error(source, made, tmp_path) <= BOUND
    assert Manifest.read(tmp_path / 'ours').model.rope_long_after == 512


@pytest.mark.parametrize(('name', 'kind'), [('llama, rope linear', 'linear'), ('llama, rope yarn', 'yarn')])
def test_scaled_positions(name: str, kind: str, tmp_path: Path) -> None:
    made = reference(name)
    scaling = made.config.rope_parameters
    original = {'rope__scaling__original_context_length': 64} if kind == 'yarn' else {}
    source = gguf_models.save(made, tmp_path / 'tiny.gguf', rope__scaling__type=kind,
                              rope__scaling__factor=float(scaling['factor']), **original)
    assert imported_error(source, made, tmp_path) <= BOUND
