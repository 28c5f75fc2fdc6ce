# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""InternVL 3 and 3.5 as transformers has them: InternViT on tiles of an image, pixel shuffle, and a Qwen or a LLaMA."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tinychat_core.checkpoint.model_config import ModelConfig
from tinychat_core.checkpoint.vision_config import Pixeling, Placing, single_matrix, single_norm, VisionConfig
from tinychat_core.families import llama, qwen2, qwen3
from tinychat_core.families.family import Names
from tinychat_core.families.hf_config import HfConfig
from tinychat_core.families.mmproj import LAYER_TENSORS, Mmproj
from tinychat_core.families.text_part import text_part
from tinychat_core.families.vision import CLIP_MEAN, CLIP_STD, layers_used, padded, padded_patch, Processor, Vision

_BASE = 'model.vision_tower.'
_LAYER = f'{_BASE}encoder.layer.{{i}}.'
_VISION = ('vision_tower.', 'multi_modal_projector.')
# Options that a nested text configuration leaves out, as transformers has them.
_QWEN = {'vocab_size': 151936, 'hidden_size': 4096, 'intermediate_size': 22016, 'num_hidden_layers': 32,
         'num_attention_heads': 32, 'num_key_value_heads': 32, 'max_position_embeddings': 32768}
TEXTS = {'qwen2': (qwen2.FAMILY, _QWEN), 'qwen3': (qwen3.FAMILY, _QWEN),
         'llama': (llama.FAMILY, {**_QWEN, 'vocab_size': 32000, 'intermediate_size': 11008})}
_PROJECTOR_EPS = 1e-5  # of torch's LayerNorm


def model_config(config: HfConfig) -> ModelConfig:
    """Return the configuration of the text part."""
    return text_part(config, TEXTS, tied=True)[1]


def tensors(config: HfConfig) -> Names:
    """Return the names of the tensors of the text part."""
    return text_part(config, TEXTS, tied=True)[0].names(config)


def vision_config(config: HfConfig, options: Mapping[str, Any], text: ModelConfig) -> VisionConfig:
    """Return the vision configuration."""
    processor, inner = Processor(options), config.inner('vision_config')
    tile = inner.edge('image_size', 448)
    if processor.edge('size', 'height', default=tile) != tile:
        raise inner.unsupported('image_size')
    return described(config, inner, text, tile=tile, fewest_tiles=processor.edge('min_patches', default=1),
                     most_tiles=processor.edge('max_patches', default=12), **processor.shared(3, CLIP_MEAN, CLIP_STD))


def described(config: HfConfig, inner: HfConfig, text: ModelConfig, **pixels: Any) -> VisionConfig:
    """Return the vision configuration of a model; `inner`: the options of its encoder, `pixels`: fields of Pixeling."""
    config.only('vision_feature_select_strategy', 'default')
    factor = round(1 / config.number('downsample_ratio', 0.5))
    if factor < 1 or config.number('downsample_ratio', 0.5) != 1 / factor:
        raise config.unsupported('downsample_ratio')
    encoder = _encoder(inner, layers_used(config, inner, 24, -1))
    joined = encoder.hidden_size * factor ** 2
    return VisionConfig(
        encoder=encoder, has_class=True, merge=factor, activation=config.activation('projector_hidden_act', 'gelu'),
        pixels=Pixeling(method='fill', patch=inner.edge('patch_size', 14), **pixels),
        projector=[single_norm(joined, 'layer', _PROJECTOR_EPS), single_matrix(joined, text.hidden_size),
                   single_matrix(text.hidden_size, text.hidden_size)],
        placing=Placing(marker='<IMG_CONTEXT>', token='<IMG_CONTEXT>', whole='<img>{rows}</img>'))


def _encoder(config: HfConfig, layers: int) -> ModelConfig:
    """Return the first `layers` layers of an InternViT (Chen et al., 2023)."""
    hidden, heads = config.size('hidden_size', 1024), config.size('num_attention_heads', 16)
    patch, tile = config.edge('patch_size', 14), config.edge('image_size', 448)
    config.only('use_qk_norm', False)  # over all heads together, in InternViT-6B
    config.only('norm_type', 'layer_norm')
    config.only('use_absolute_position_embeddings', True)
    config.only('use_mean_pooling', True)
    config.only('num_channels', 3)
    config.served('attention_bias')
    if hidden % heads:
        raise config.unsupported('hidden_size')
    return ModelConfig(
        vocab_size=hidden, hidden_size=hidden, intermediate_size=config.size('intermediate_size', 4096), layers=layers,
        heads=heads, kv_heads=heads, head_dim=padded(hidden // heads), context_length=(tile // patch) ** 2 + 1,
        norm='layer', norm_eps=config.number('layer_norm_eps', 1e-6),
        activation=config.activation('hidden_act', 'gelu'), gated=False, tied_head=False, bos_token_id=None,
        eos_token_ids=[], encoder=True, final_norm=False, embedding_size=padded_patch(patch),
        attention_scale=(hidden // heads) ** -0.5)


def _mmproj_options(found: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    tile = found['image_size']
    return ({'downsample_ratio': 1 / found['projector.scale_factor']},
            {'size': {'height': tile, 'width': tile}, 'min_patches': found.get('preproc_min_tiles', 1),
             'max_patches': found.get('preproc_max_tiles', 12)})


FAMILY = replace(
    qwen2.FAMILY, name='internvl', model_types=('internvl',), model_config=model_config, gguf=None, tensors=tensors,
    left_out=(*_VISION, *(f'model.{name}' for name in _VISION)), ignored=('.inv_freq', '.mask_token'),
    vision=Vision(vision_config, {
        'encoder.project_in': f'{_BASE}embeddings.patch_embeddings.projection',
        'encoder.positions': f'{_BASE}embeddings.position_embeddings',
        'encoder.layers.{i}.attn_norm': f'{_LAYER}layernorm_before',
        'encoder.layers.{i}.attn.qkv': tuple(f'{_LAYER}attention.{part}_proj' for part in 'qkv'),
        'encoder.layers.{i}.attn.o': f'{_LAYER}attention.projection_layer',
        'encoder.layers.{i}.mlp_norm': f'{_LAYER}layernorm_after',
        'encoder.layers.{i}.mlp.up': f'{_LAYER}mlp.fc1',
        'encoder.layers.{i}.mlp.down': f'{_LAYER}mlp.fc2',
        'projector.0.norm': 'model.multi_modal_projector.layer_norm',
        'projector.1.project_in': 'model.multi_modal_projector.linear_1',
        'projector.2.project_in': 'model.multi_modal_projector.linear_2',
    }, class_embedding=f'{_BASE}embeddings.cls_token', bare=frozenset({'encoder.positions'}),
        row_scales={'encoder.layers.{i}.attn.o': f'{_LAYER}lambda_1',
                    'encoder.layers.{i}.mlp.down': f'{_LAYER}lambda_2'}),
    mmproj=Mmproj('internvl', ('qwen2', 'qwen3', 'llama'), Vision(vision_config, {
        'encoder.project_in': 'v.patch_embd', 'encoder.positions': 'v.position_embd', **LAYER_TENSORS,
        'projector.0.norm': 'mm.model.mlp.0', 'projector.1.project_in': 'mm.model.mlp.1',
        'projector.2.project_in': 'mm.model.mlp.3',
    }, class_embedding='v.class_embd', row_scales={
        'encoder.layers.{i}.attn.o': 'v.blk.{i}.ls1.weight', 'encoder.layers.{i}.mlp.down': 'v.blk.{i}.ls2.weight',
    }), _mmproj_options))
