# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Qwen 2.5-VL: an encoder with attention within windows, and over the whole image in a few layers; and a Qwen 2.5."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from typing import Any

from tinychat_core.checkpoint.model_config import ModelConfig, OWN_SPAN
from tinychat_core.checkpoint.vision_config import VisionConfig
from tinychat_core.families import qwen2
from tinychat_core.families.hf_config import HfConfig
from tinychat_core.families.qwen_vision import (
    BASE,
    encoder,
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

_DEFAULTS = {'vocab_size': 152064, 'hidden_size': 8192, 'intermediate_size': 29568, 'num_hidden_layers': 80,
             'num_attention_heads': 64, 'num_key_value_heads': 8, 'rms_norm_eps': 1e-5, 'rope_theta': 1e6,
             'max_window_layers': 80}
_VISION_DEFAULTS = {'depth': 32, 'hidden_size': 3584, 'intermediate_size': 3420, 'num_heads': 16, 'patch_size': 14,
                    'out_hidden_size': 3584, 'fullatt_block_indexes': [7, 15, 23, 31], 'window_size': 112}


def model_config(config: HfConfig) -> ModelConfig:
    """Return the configuration of the text part."""
    text, section = without_sections(text_options(config).or_else(**_DEFAULTS), [16, 24, 24], interleaved=False)
    model = qwen2.model_config(text)
    if 2 * sum(section) != model.head_dim:
        raise config.unsupported('rope_scaling')
    axes = [[axis] * count for axis, count in enumerate(section)]
    return with_ends(config, model.replace(rope_axes=[*chain.from_iterable(axes)]))


def vision_config(config: HfConfig, options: Mapping[str, Any], text: ModelConfig) -> VisionConfig:
    """Return the vision configuration."""
    inner = config.inner('vision_config').or_else(**_VISION_DEFAULTS)
    pixels = native_pixels(Processor(options), inner)
    layers, whole, window = inner.size('depth'), inner.get('fullatt_block_indexes'), inner.size('window_size')
    if not isinstance(whole, list) or not all(type(layer) is int for layer in whole):
        raise inner.unsupported('fullatt_block_indexes')
    if window < pixels.tile:
        raise inner.unsupported('window_size')
    seen = encoder(inner, pixels, norm='rms', activation=inner.activation('hidden_act'), gated=True,
                   embedding_size=padded(3 * inner.size('temporal_patch_size', 2) * pixels.patch ** 2),
                   windows=[0 if layer in whole else OWN_SPAN for layer in range(layers)])
    return VisionConfig(pixels=pixels, encoder=seen, projector=merger(inner, pixels, text), activation='gelu',
                        window=window // pixels.tile, has_positions=True, placing=PLACING, **frames(inner))


FAMILY = replace(
    qwen2.FAMILY, name='qwen2_5_vl', model_types=('qwen2_5_vl',), model_config=model_config, gguf=None,
    left_out=LEFT_OUT,
    vision=Vision(vision_config, {
        'encoder.project_in': f'{BASE}patch_embed.proj',
        **LAYER_TENSORS,
        'encoder.layers.{i}.mlp.gate_up': (f'{LAYER}mlp.gate_proj', f'{LAYER}mlp.up_proj'),
        'encoder.layers.{i}.mlp.down': f'{LAYER}mlp.down_proj',
        'encoder.norm': f'{BASE}merger.ln_q',
        'projector.0.project_in': f'{BASE}merger.mlp.0',
        'projector.1.project_in': f'{BASE}merger.mlp.2',
    }))
