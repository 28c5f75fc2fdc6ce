# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Every family: our decoder layer in torch is transformers', and any scale can be folded into what is before it."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from families.tiny_models import MODELS, Reference, VOCAB
import numpy as np
import pytest
import torch
from torch import Tensor

from tinychat_core.checkpoint.linear import Linear
from tinychat_core.checkpoint.model_config import ModelConfig
from tinychat_core.importers import open_source
from tinychat_core.importers.import_plan import ImportPlan
from tinychat_core.quantize.decoder_layer import DecoderLayer
from tinychat_core.quantize.embed_and_head import embedded, Head
from tinychat_core.quantize.fold import fold, groups, tied
from tinychat_core.quantize.run import _plain

LENGTH = 90  # more than any window
Layer = dict[str, Any]


@cache
def reference(name: str) -> Reference:
    return Reference(name)


@pytest.fixture(scope='module')
def opened(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[ModelConfig, list[Any]]]:
    """Return what gives the configuration and the parts of a model, in float32."""
    @cache
    def made(name: str) -> tuple[ModelConfig, list[Any]]:
        model = open_source(str(reference(name).save(tmp_path_factory.mktemp('model') / 'theirs')))
        parts = ImportPlan(model, _plain).parts
        return model.config, [part() for part in parts]

    return made


def tokens() -> list[int]:
    found: list[int] = np.random.default_rng(0).integers(0, VOCAB, LENGTH).tolist()
    return found


def local(content: Mapping[str, Any], index: int) -> Layer:
    return {name.removeprefix(f'layers.{index}.'): tensor for name, tensor in content.items()}


def output(model: ModelConfig, index: int, content: Layer, hidden: Tensor) -> Tensor:
    """Return the layer's output; an input scale is the columns' of its matrix."""
    vectors = {name: torch.from_numpy(tensor) for name, tensor in content.items() if not isinstance(tensor, Linear)}
    matrices = {}
    for name, tensor in content.items():
        if isinstance(tensor, Linear):
            matrices[name] = torch.from_numpy(tensor.weight) * vectors.get(f'{name}.input_scale', torch.ones(1))
    return DecoderLayer(model, index, vectors, hidden.shape[1]).forward(hidden, matrices)


def logits(model: ModelConfig, layers: list[Layer], parts: list[Any]) -> Tensor:
    hidden = embedded(model, parts[0], [tokens()])
    for index, content in enumerate(layers):
        hidden = output(model, index, content, hidden)
    return Head(model, {**parts[0], **parts[-1]})(hidden[0])


def difference(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize('name', MODELS)
def test_the_layers_are_those_of_transformers(name: str, opened: Callable[..., Any]) -> None:
    model, parts = opened(name)
    layers = [local(parts[i + 1], i) for i in range(model.layers)]
    expected = torch.from_numpy(reference(name).score(tokens()))
    assert difference(logits(model, layers, parts), expected) < 1e-4


@pytest.mark.parametrize('name', MODELS)
def test_scales_of_every_group_leave_the_layer_as_it_is(name: str, opened: Callable[..., Any]) -> None:
    model, parts = opened(name)
    content = local(parts[1], 0)
    hidden = torch.randn(1, LENGTH, model.hidden_size, generator=torch.Generator().manual_seed(0))
    expected = output(model, 0, content, hidden)
    for group in groups(model, content):
        cols = content[group.matrices[0]].cols
        scale = tied(model, group.matrices[0], np.exp(np.random.default_rng(2).normal(size=cols)).astype(np.float32))
        scaled = dict(content)
        for matrix in group.matrices:
            weight = content[matrix].weight * scale
            scaled[matrix] = Linear('f32', len(weight), cols, 0, None, weight)
        assert difference(output(model, 0, scaled, hidden), expected) > 0.01  # the scale shows
        folded = fold(model, scaled, dict.fromkeys(group.matrices, scale))
        assert difference(output(model, 0, folded, hidden), expected) < 1e-4, group


def test_every_matrix_of_every_family_is_in_one_group(opened: Callable[..., Any]) -> None:
    for name in MODELS:
        model, parts = opened(name)
        content = local(parts[1], 0)
        found = sorted(matrix for group in groups(model, content) for matrix in group.matrices)
        assert found == sorted(key for key, tensor in content.items() if isinstance(tensor, Linear)), name


def test_only_after_gelu_or_a_norm_behind_the_residual_the_matrix_keeps_its_scale(opened: Callable[..., Any]) -> None:
    kept = set()
    for name in MODELS:
        model, parts = opened(name)
        content = local(parts[1], 0)
        scales = {matrix: np.ones(content[matrix].cols, np.float32) for group in groups(model, content)
                  for matrix in group.matrices}
        kept |= {(name, key.removesuffix('.input_scale')) for key in fold(model, content, scales)
                 if key.endswith('.input_scale')}
    gelu = {name for name in MODELS if name.startswith(('falcon', 'mpt'))}
    assert kept == {*((name, 'mlp.down') for name in gelu), ('opt 350m', 'attn.qkv'), ('opt 350m', 'mlp.up')}


