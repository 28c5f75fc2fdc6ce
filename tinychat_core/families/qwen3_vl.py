# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Qwen 3-VL: an encoder with interpolated positions, some of whose layers feed the first layers of a Qwen 3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
import math
from typing import Any

from tinychat_core.checkpoint.model_config import ModelConfig
from tinychat_core.checkpoint.vision_config import single_matrix, single_norm, VisionConfig
from tinychat_core.families import qwen3
from tinychat_core.families.hf_config import HfConfig
from tinychat_core.families.qwen_vision import (
    BASE,
    encoder,
    EPS,
    frames,
    LAYER,
    LAYER_TENSORS,
    LEFT_OUT,
    merger,
    native_pixels,
    PLACING,
    text_options,
    without_sections,
)
from tinychat_core.families.text_part import with_ends
from tinychat_core.families.vision import padded, Processor, Vision

_DEFAULTS = {'vocab_size': 151936, 'hidden_size': 4096, 'intermediate_size': 22016, 'num_hidden_layers': 32,
             'num_attention_heads': 32, 'num_key_value_heads': 32, 'max_position_embeddings': 128000,
             'rope_theta': 500000.0}
_VISION_DEFAULTS = {'depth': 27, 'hidden_size': 1152, 'intermediate_size': 4304, 'num_heads': 16, 'patch_size': 16,
                    'out_hidden_size': 3584, 'num_position_embeddings': 2304, 'deepstack_visual_indexes': [8, 16, 24]}


def model_config(config: HfConfig) -> ModelConfig:
    """Return the configuration of the text part."""
    vision = config.mapping('vision_config')
    text, section = without_sections(text_options(config).or_else(**_DEFAULTS), [24, 20, 20], interleaved=True)
    model = qwen3.model_config(text)
    pairs = model.head_dim // 2
    axes = [0] * pairs  # time, height and width take turns, as long as height and width have pairs left
    for axis in (1, 2):
        for pair in range(axis, min(3 * section[axis], pairs), 3):
            axes[pair] = axis
    layers = vision.get('deepstack_visual_indexes', _VISION_DEFAULTS['deepstack_visual_indexes'])
    if not isinstance(layers, list):
        raise config.unsupported('vision_config')
    return with_ends(config, model.replace(rope_axes=axes, deepstack_layers=len(layers)))


def vision_config(config: HfConfig, options: Mapping[str, Any], text: ModelConfig) -> VisionConfig:
    """Return the vision configuration."""
    inner = config.inner('vision_config').or_else(**_VISION_DEFAULTS)
    pixels = native_pixels(Processor(options), inner)
    layers, grid = inner.get('deepstack_visual_indexes', []), math.isqrt(inner.size('num_position_embeddings'))
    if grid ** 2 != inner.size('num_position_embeddings'):
        raise inner.unsupported('num_position_embeddings')
    if not isinstance(layers, list) or layers != sorted({*layers}):  # the order of the layers is that of the parts
        raise inner.unsupported('deepstack_visual_indexes')
    hidden = inner.size('hidden_size')
    stem = single_matrix(padded(3 * inner.size('temporal_patch_size', 2) * pixels.patch ** 2), hidden)
    seen = encoder(inner, pixels, norm='layer', activation=inner.activation('hidden_act', 'gelu_pytorch_tanh'),
                   gated=False, output_layers=layers or None)
    matrices = merger(inner, pixels, text)
    return VisionConfig(
        pixels=pixels, stem=stem.replace(context_length=seen.context_length), encoder=seen, projector=matrices,
        activation='gelu', grid=grid, has_positions=True, placing=PLACING, **frames(inner),
        deepstack=[[single_norm(hidden * pixels.side ** 2, 'layer', EPS), *matrices] for _ in layers])


_STACK = f'{BASE}deepstack_merger_list.{{j}}.'
FAMILY = replace(
    qwen3.FAMILY, name='qwen3_vl', model_types=('qwen3_vl',), model_config=model_config, gguf=None, left_out=LEFT_OUT,
    vision=Vision(vision_config, {
        'stem.project_in': f'{BASE}patch_embed.proj',
        'grid': f'{BASE}pos_embed',
        **LAYER_TENSORS,
        'encoder.layers.{i}.mlp.up': f'{LAYER}mlp.linear_fc1',
        'encoder.layers.{i}.mlp.down': f'{LAYER}mlp.linear_fc2',
        'encoder.norm': f'{BASE}merger.norm',
        'projector.0.project_in': f'{BASE}merger.linear_fc1',
        'projector.1.project_in': f'{BASE}merger.linear_fc2',
        'deepstack.{j}.0.norm': f'{_STACK}norm',
        'deepstack.{j}.1.project_in': f'{_STACK}linear_fc1',
        'deepstack.{j}.2.project_in': f'{_STACK}linear_fc2',
    }))
