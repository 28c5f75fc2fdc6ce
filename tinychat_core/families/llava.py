# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""LLaVA 1.5: CLIP without its last layer, a projector of two matrices, and Vicuna."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tinychat_core.checkpoint.model_config import ModelConfig
from tinychat_core.checkpoint.vision_config import Pixeling, Placing, single_matrix, VisionConfig
from tinychat_core.errors import UnsupportedModelError
from tinychat_core.families import llama
from tinychat_core.families.hf_config import HfConfig
from tinychat_core.families.mmproj import CLIP_TENSORS, Mmproj
from tinychat_core.families.text_part import text_part
from tinychat_core.families.vision import clip, CLIP_MEAN, CLIP_STD, clip_tensors, layers_used, Processor, Vision

_BASE = 'model.vision_tower.'
_VISION = ('vision_tower.', 'multi_modal_projector.')
# Options that a nested text configuration leaves out, as transformers' LlamaConfig has them.
DEFAULTS = {'vocab_size': 32000, 'hidden_size': 4096, 'intermediate_size': 11008, 'num_hidden_layers': 32,
            'num_attention_heads': 32, 'max_position_embeddings': 2048}
# Those of CLIP ViT-L/14 with 336 pixels.
VISION_DEFAULTS = {'hidden_size': 1024, 'intermediate_size': 4096, 'num_hidden_layers': 24, 'num_attention_heads': 16,
                   'image_size': 336, 'patch_size': 14}


def model_config(config: HfConfig) -> ModelConfig:
    """Return the configuration of the text part."""
    return text_part(config, {'llama': (llama.FAMILY, DEFAULTS)}, tied=False)[1]


def vision_config(config: HfConfig, options: Mapping[str, Any], text: ModelConfig) -> VisionConfig:
    """Return the vision configuration."""
    processor, inner = Processor(options), config.inner('vision_config').or_else(**VISION_DEFAULTS)
    processor.always('do_center_crop')
    processor.never('do_pad')
    tile = processor.edge('crop_size', 'height', default=inner.size('image_size'))
    if processor.edge('size', 'shortest_edge', default=tile) != tile:
        raise UnsupportedModelError('preprocessor_config.json: a size other than crop_size is not supported')
    return VisionConfig(
        **encoder_and_projector(config, inner, text),
        pixels=Pixeling(method='crop', tile=tile, patch=inner.size('patch_size'),
                        **processor.shared(3, CLIP_MEAN, CLIP_STD)),
        placing=Placing(marker='<image>', token='<image>', whole='{rows}'))


def encoder_and_projector(config: HfConfig, inner: HfConfig, text: ModelConfig) -> dict[str, Any]:
    """Return the fields of VisionConfig for CLIP, up to the layer that is used, and the two matrices after it."""
    config.only('vision_feature_select_strategy', 'default')
    fields = clip(inner, layers_used(config, inner, VISION_DEFAULTS['num_hidden_layers'], -2))
    return {**fields, 'activation': config.activation('projector_hidden_act', 'gelu'), 'projector': [
        single_matrix(fields['encoder'].hidden_size, text.hidden_size),
        single_matrix(text.hidden_size, text.hidden_size)]}


def _mmproj_options(found: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    return {'vision_feature_layer': feature_layer(found)}, {}


def feature_layer(found: Mapping[str, Any]) -> int:
    """Return the layer whose outputs are used, counted from the last layer of the mmproj file."""
    layers = found.get('feature_layer', [found['block_count']])
    if len(layers) != 1 or not 0 < layers[0] <= found['block_count']:
        raise UnsupportedModelError(f'clip.vision.feature_layer = {layers} is not supported: give one layer')
    return int(layers[0] - found['block_count'] - 1)


MMPROJ = Mmproj(
    'mlp', ('llama',), Vision(vision_config, {
        **CLIP_TENSORS, 'projector.0.project_in': 'mm.0', 'projector.1.project_in': 'mm.2',
    }, class_embedding='v.class_embd'), _mmproj_options, activation='quick_gelu',
    checks_width=False)  # its converter writes CLIP's own width

FAMILY = replace(
    llama.FAMILY, name='llava', model_types=('llava',), model_config=model_config, gguf=None,
    left_out=(*_VISION, *(f'model.{name}' for name in _VISION)), ignored=('.inv_freq', '.position_ids'),
    vision=Vision(vision_config, {
        **clip_tensors(_BASE),
        'projector.0.project_in': 'model.multi_modal_projector.linear_1',
        'projector.1.project_in': 'model.multi_modal_projector.linear_2',
    }, class_embedding=f'{_BASE}embeddings.class_embedding'), mmproj=MMPROJ)
