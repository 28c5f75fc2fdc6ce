# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""InternVL 2.5, 3 and 3.5 in their authors' own layout (InternVLChatModel), which internvl has under other names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tinychat_core.checkpoint.model_config import ModelConfig
from tinychat_core.checkpoint.vision_config import VisionConfig
from tinychat_core.families import internvl
from tinychat_core.families.family import Names
from tinychat_core.families.hf_config import HfConfig
from tinychat_core.families.vision import Processor, Vision

_BASE = 'vision_model.'
_LAYER = f'{_BASE}encoder.layers.{{i}}.'
# What the class InternVisionConfig assumes where an option is missing: InternViT-6B, whose heads have norms.
_VISION_DEFAULTS = {
    'hidden_size': 3200, 'num_attention_heads': 25, 'num_hidden_layers': 48, 'intermediate_size': 12800,
    'image_size': 224, 'patch_size': 14, 'qkv_bias': False, 'qk_normalization': True, 'norm_type': 'rms_norm'}
# Published, and without effect unless use_moe is set.
_EXPERTS = ('num_experts', 'num_routed_experts', 'num_shared_experts', 'shared_expert_intermediate_size',
            'moe_coeff_ratio', 'moe_intermediate_size', 'moe_output_scale')
_MEAN, _STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def model_config(config: HfConfig) -> ModelConfig:
    """Return the configuration of the text part."""
    return internvl.model_config(_renamed(config))


def tensors(config: HfConfig) -> Names:
    """Return the names of the tensors of the text part."""
    return internvl.tensors(_renamed(config))


def vision_config(config: HfConfig, options: Mapping[str, Any], text: ModelConfig) -> VisionConfig:
    """Return the vision configuration: its tiles are described in config.json, and only the colors beside it."""
    inner = config.inner('vision_config').or_else(**_VISION_DEFAULTS).also_called(
        {'qk_normalization': 'use_qk_norm', 'qkv_bias': 'attention_bias'})
    inner.only('use_moe', False)
    inner.served(*_EXPERTS)
    for name, value in (('dynamic_image_size', True), ('use_thumbnail', True), ('pad2square', False),
                        ('ps_version', 'v2')):
        if config.get(name) != value:
            raise config.unsupported(name)
    tile = inner.edge('image_size', 448)
    if config.edge('force_image_size', tile) != tile:
        raise config.unsupported('force_image_size')
    return internvl.described(
        _renamed(config), inner, text, tile=tile, fewest_tiles=config.size('min_dynamic_patch', 1),
        most_tiles=config.size('max_dynamic_patch', 12), **Processor(options).shared(3, _MEAN, _STD))


def _renamed(config: HfConfig) -> HfConfig:
    """Return the options under the names that transformers gave them."""
    text = config.mapping('llm_config')
    if text.get('model_type') not in internvl.TEXTS:
        raise config.unsupported('llm_config')
    return config.or_else(tie_word_embeddings=bool(text.get('tie_word_embeddings', False))).also_called(
        {'llm_config': 'text_config', 'select_layer': 'vision_feature_layer'})


FAMILY = replace(
    internvl.FAMILY, name='internvl_chat', model_types=('internvl_chat',), model_config=model_config, tensors=tensors,
    left_out=(_BASE, 'mlp1.'), mmproj=None,
    vision=Vision(vision_config, {
        'encoder.project_in': f'{_BASE}embeddings.patch_embedding',
        'encoder.positions': f'{_BASE}embeddings.position_embedding',
        'encoder.layers.{i}.attn_norm': f'{_LAYER}norm1',
        'encoder.layers.{i}.attn.qkv': f'{_LAYER}attn.qkv',
        'encoder.layers.{i}.attn.o': f'{_LAYER}attn.proj',
        'encoder.layers.{i}.mlp_norm': f'{_LAYER}norm2',
        'encoder.layers.{i}.mlp.up': f'{_LAYER}mlp.fc1',
        'encoder.layers.{i}.mlp.down': f'{_LAYER}mlp.fc2',
        'projector.0.norm': 'mlp1.0', 'projector.1.project_in': 'mlp1.1', 'projector.2.project_in': 'mlp1.3',
    }, class_embedding=f'{_BASE}embeddings.class_embedding', bare=frozenset({'encoder.positions'}),
        row_scales={'encoder.layers.{i}.attn.o': f'{_LAYER}ls1', 'encoder.layers.{i}.mlp.down': f'{_LAYER}ls2'}))
