# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Gemma 3: norms of the heads of q and k; five of six layers have a window and their own rotary base.

Those of 4B and more see images: SigLIP, whose patches are averaged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
import math
from typing import Any

from tinychat_core.checkpoint.model_config import as_floats, inverse_frequencies, ModelConfig
from tinychat_core.checkpoint.vision_config import Pixeling, Placing, single_matrix, single_norm, VisionConfig
from tinychat_core.families import gemma2
from tinychat_core.families.family import Gguf
from tinychat_core.families.hf_config import HfConfig
from tinychat_core.families.mmproj import Mmproj, SIGLIP_TENSORS
from tinychat_core.families.rope import kind_of, table
from tinychat_core.families.text_part import with_ends
from tinychat_core.families.vision import Processor, siglip, siglip_tensors, Vision
from tinychat_core.families.windows import windows

# Options that a nested text configuration leaves out.
_DEFAULTS = {
    'vocab_size': 262208, 'hidden_size': 2304, 'intermediate_size': 9216, 'num_hidden_layers': 26,
    'num_attention_heads': 8, 'max_position_embeddings': 131072, 'sliding_window': 4096}
_VISION_DEFAULTS = {'hidden_size': 1152, 'intermediate_size': 4304, 'num_hidden_layers': 27, 'num_attention_heads': 16,
                    'image_size': 896, 'patch_size': 14}
_VISION_TENSORS = ('vision_tower.', 'multi_modal_projector.')


def model_config(config: HfConfig) -> ModelConfig:
    """Return the configuration of a Gemma 3 text model, or of the text part of a vision-language model."""
    if config.get('model_type') != 'gemma3':
        return _text_model(config.or_else(**_DEFAULTS))
    config.served('vision_config', 'tie_word_embeddings')
    tied = {'tie_word_embeddings': bool(config.get('tie_word_embeddings', True))}
    return with_ends(config, _text_model(config.inner('text_config').or_else(**_DEFAULTS, **tied)))


def vision_config(config: HfConfig, options: Mapping[str, Any], text: ModelConfig) -> VisionConfig:
    """Return the vision configuration."""
    processor, inner = Processor(options), config.inner('vision_config').or_else(**_VISION_DEFAULTS)
    processor.never('do_pan_and_scan')
    encoder, patch = siglip(inner), inner.size('patch_size')
    pixels = Pixeling(method='squeeze', tile=processor.edge('size', 'height', default=inner.size('image_size')),
                      patch=patch, **processor.shared(resample=2))
    rows = config.size('mm_tokens_per_image', 256)
    side = math.isqrt(rows)
    if side * side != rows or pixels.side % side:
        raise config.unsupported('mm_tokens_per_image')
    return VisionConfig(
        pixels=pixels, encoder=encoder, merge=pixels.side // side, merging='mean', sees_both_ways=True,
        projector=[single_norm(encoder.hidden_size, 'rms', encoder.norm_eps),
                   single_matrix(encoder.hidden_size, text.hidden_size)],
        placing=Placing(marker='<start_of_image>', token='<image_soft_token>',
                        whole='\n\n<start_of_image>{rows}<end_of_image>\n\n'))


def _text_model(config: HfConfig) -> ModelConfig:
    period = config.size('sliding_window_pattern', 6)
    config.only('attn_logit_softcapping')  # Gemma 3's class inherits this option of Gemma 2 and ignores it
    newer = {name: value for name, value in config.mapping('rope_parameters').items() if value is not None}
    local, whole = (newer.pop(name, {}) for name in ('sliding_attention', 'full_attention'))
    if newer or not isinstance(local, dict) or not isinstance(whole, dict):  # transformers has none for all layers
        raise config.unsupported('rope_parameters')
    older = config.mapping('rope_scaling')
    if 'rope_type' not in older and older.get('type', 'default') != 'default':  # transformers does not scale then
        raise config.unsupported('rope_scaling')
    config.served('rope_local_base_freq')
    model = gemma2.common(config.without('rope_scaling', 'rope_parameters'))
    context = model.context_length
    whole = {'rope_theta': config.number('rope_theta', 1e6), 'partial_rotary_factor': 1.0,
             'original_max_position_embeddings': context, **whole, **older}
    # Other kinds of scaling would also scale cos and sin, including those of the layers with a window.
    if kind_of(whole) not in ('default', 'linear') or kind_of(local) != 'default':
        raise config.unsupported('rope_parameters' if config.get('rope_parameters') else 'rope_scaling')
    theta = local.get('rope_theta', config.number('rope_local_base_freq', 10000.0))
    slides = [(layer + 1) % period != 0 for layer in range(model.layers)]
    return model.replace(**{
        'rope': None, 'rope_inv_freq': None, 'rope_scale': 1.0, **table(whole, model.head_dim, context),
        'rope_local_inv_freq': as_floats(inverse_frequencies(theta, model.head_dim)),
        'windows': windows(config, slides)})


def _mmproj_options(found: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    tile = found['image_size']
    side = tile // found['patch_size'] // found.get('projector.scale_factor', 4)
    return {'mm_tokens_per_image': side ** 2}, {'size': {'height': tile, 'width': tile}}


FAMILY = replace(
    gemma2.FAMILY, name='gemma3', model_types=('gemma3_text', 'gemma3'), model_config=model_config,
    left_out=(*_VISION_TENSORS, *(f'model.{name}' for name in _VISION_TENSORS)),
    vision=Vision(vision_config, {
        **siglip_tensors('model.vision_tower.'),
        'projector.0.norm': 'model.multi_modal_projector.mm_soft_emb_norm',
        'projector.1.project_in': 'model.multi_modal_projector.mm_input_projection_weight',
    }, bare=frozenset({'projector.1.project_in'}), transposed=frozenset({'projector.1.project_in'})),
    tensors={
        **gemma2.TENSORS,
        'layers.{i}.attn.q_norm': 'model.layers.{i}.self_attn.q_norm',
        'layers.{i}.attn.k_norm': 'model.layers.{i}.self_attn.k_norm',
    },
    gguf=Gguf('gemma3', 'Gemma3ForCausalLM', {
        **gemma2.GGUF_TENSORS,
        'layers.{i}.attn.q_norm': 'blk.{i}.attn_q_norm',
        'layers.{i}.attn.k_norm': 'blk.{i}.attn_k_norm',
    }, options=gemma2.gguf_options),
    mmproj=Mmproj('gemma3', ('gemma3',), Vision(vision_config, {
        **SIGLIP_TENSORS, 'projector.0.norm': 'mm.soft_emb_norm', 'projector.1.project_in': 'mm.input_projection',
    }, transposed=frozenset({'projector.1.project_in'})), _mmproj_options, gelu='gelu_pytorch_tanh'))
