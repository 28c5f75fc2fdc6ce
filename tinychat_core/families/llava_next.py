# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""LLaVA 1.6 (NeXT): LLaVA 1.5 with tiles of larger images, and Vicuna, Mistral or LLaMA."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tinychat_core.checkpoint.model_config import ModelConfig
from tinychat_core.checkpoint.vision_config import Pixeling, Placing, VisionConfig
from tinychat_core.errors import UnsupportedModelError
from tinychat_core.families import llama, llava, mistral
from tinychat_core.families.hf_config import HfConfig
from tinychat_core.families.text_part import text_part
from tinychat_core.families.vision import CLIP_MEAN, CLIP_STD, Processor

# Options that a nested text configuration leaves out, as transformers has them.
_TEXTS = {'llama': (llama.FAMILY, llava.DEFAULTS),
          'mistral': (mistral.FAMILY, {**llava.DEFAULTS, 'intermediate_size': 14336, 'num_key_value_heads': 8,
                                       'max_position_embeddings': 131072})}
_SIZES = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]
_NEWLINE = 'model.image_newline'


def model_config(config: HfConfig) -> ModelConfig:
    """Return the configuration of the text part."""
    config.served('image_grid_pinpoints', 'use_image_newline_parameter')
    return text_part(config, _TEXTS, tied=False)[1]


def vision_config(config: HfConfig, options: Mapping[str, Any], text: ModelConfig) -> VisionConfig:
    """Return the vision configuration."""
    processor, inner = Processor(options), config.inner('vision_config').or_else(**llava.VISION_DEFAULTS)
    processor.always('do_center_crop', 'do_pad')
    tile = inner.size('image_size')
    for name, keys in (('crop_size', ('height',)), ('size', ('shortest_edge', 'height'))):
        if processor.edge(name, *keys, default=tile) != tile:
            raise UnsupportedModelError(f'preprocessor_config.json: {name} differs from image_size = {tile} of '
                                        'config.json, which is not supported')
    sizes = config.get('image_grid_pinpoints', _SIZES)
    if processor.get('image_grid_pinpoints', sizes) != sizes:
        raise UnsupportedModelError('preprocessor_config.json: image_grid_pinpoints differs from that of config.json')
    return VisionConfig(
        **llava.encoder_and_projector(config, inner, text),
        pixels=Pixeling(method='pad', tile=tile, patch=inner.size('patch_size'), sizes=sizes,
                        **processor.shared(3, CLIP_MEAN, CLIP_STD)),
        placing=Placing(marker='<image>', token='<image>', whole='{rows}'))


def _mmproj_options(found: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    flat, size = found['image_grid_pinpoints'], {'shortest_edge': found['image_size']}
    sizes = [[*flat[i:i + 2]] for i in range(0, len(flat), 2)]
    return {'vision_feature_layer': llava.feature_layer(found), 'image_grid_pinpoints': sizes}, {'size': size}


_VISION = llava.FAMILY.vision
assert _VISION is not None
FAMILY = replace(
    llava.FAMILY, name='llava_next', model_types=('llava_next',), model_config=model_config,
    left_out=(*llava.FAMILY.left_out, _NEWLINE, 'image_newline'),
    vision=replace(_VISION, config=vision_config, newline=_NEWLINE),
    mmproj=replace(llava.MMPROJ, options=_mmproj_options, tiles=True, vision=replace(
        llava.MMPROJ.vision, config=vision_config, newline=_NEWLINE)))
