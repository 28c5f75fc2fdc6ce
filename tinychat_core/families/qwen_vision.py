# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Common code of Qwen's vision models: positions of three axes, images of native size, 2-D rotation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tinychat_core.checkpoint.model_config import as_floats, inverse_frequencies, ModelConfig
from tinychat_core.checkpoint.vision_config import Pixeling, Placing, single_matrix
from tinychat_core.families.hf_config import HfConfig
from tinychat_core.families.vision import CLIP_MEAN, CLIP_STD, padded, Processor

LEFT_OUT = ('model.visual.', 'visual.')
BASE = 'model.visual.'
_IMAGE = '<|image_pad|>'
_MROPE = ('mrope_section', 'mrope_interleaved')
EPS = 1e-6  # of every norm of the encoder, whatever the configuration says
# The text that represents an image in the prompt; the template writes the text around it.
PLACING = Placing(marker=_IMAGE, token=_IMAGE, whole='{rows}')
LAYER = f'{BASE}blocks.{{i}}.'
LAYER_TENSORS = {
    'encoder.layers.{i}.attn_norm': f'{LAYER}norm1',
    'encoder.layers.{i}.attn.qkv': f'{LAYER}attn.qkv',
    'encoder.layers.{i}.attn.o': f'{LAYER}attn.proj',
    'encoder.layers.{i}.mlp_norm': f'{LAYER}norm2',
}


def text_options(config: HfConfig) -> HfConfig:
    """Return the options of the text part: a separate object, or, before transformers 4.52, among the others."""
    config.served('vision_config', 'image_token_id', 'text_config')
    if not config.mapping('text_config'):
        return config
    outer = {'tie_word_embeddings': True} if config.get('tie_word_embeddings', False) else {}
    text = config.inner('text_config')
    return text.without(*outer).or_else(**outer)


def without_sections(text: HfConfig, default: Sequence[int], *, interleaved: bool) -> tuple[HfConfig, list[int]]:
    """
    Return the options without those of M-RoPE, and its sections: how many rotated pairs time, height and width have.

    Raises UnsupportedModelError if the sections are not three numbers or have another order.
    """
    plain, section = {}, list(default)
    for name in ('rope_scaling', 'rope_parameters'):
        found = {key: value for key, value in text.mapping(name).items() if value is not None}
        if found.get('mrope_interleaved', interleaved) is not interleaved:
            raise text.unsupported(name)
        section = found.get('mrope_section', section)
        if not isinstance(section, list) or len(section) != 3 or not all(
                type(number) is int and 0 <= number <= 128 for number in section):
            raise text.unsupported(name)
        kinds = {key: 'default' for key in ('type', 'rope_type') if found.get(key) == 'mrope'}
        kept = {key: value for key, value in {**found, **kinds}.items() if key not in _MROPE}
        if kept:
            plain[name] = kept
    return text.without('rope_scaling', 'rope_parameters').or_else(**plain), section


def native_pixels(processor: Processor, vision: HfConfig) -> Pixeling:
    """Return how an image becomes patches."""
    patch, merge = vision.size('patch_size'), vision.size('spatial_merge_size', 2)
    processor.same('patch_size', patch)
    processor.same('merge_size', merge)
    processor.same('temporal_patch_size', vision.size('temporal_patch_size', 2))
    return Pixeling(
        method='native', tile=patch * merge, patch=patch, **processor.shared(3, CLIP_MEAN, CLIP_STD),
        min_pixels=processor.pixels('min_pixels', 'shortest_edge', 56 * 56),
        max_pixels=processor.pixels('max_pixels', 'longest_edge', 28 * 28 * 1280))


def encoder(vision: HfConfig, pixels: Pixeling, **fields: Any) -> ModelConfig:
    """
    Return an encoder whose heads rotate by the row and the column of a patch, half of the pairs by each.

    `fields`: those of ModelConfig in which the models differ.
    """
    hidden, heads = vision.size('hidden_size'), vision.size('num_heads')
    channels = vision.size('in_channels', vision.size('in_chans', 3))
    dim = hidden // heads
    if hidden % heads or dim % 4:
        raise vision.unsupported('num_heads')
    if channels != 3:
        raise vision.unsupported('in_channels')
    rope = vision.mapping('rope_parameters')
    if rope.get('rope_type', 'axial') != 'axial' or set(rope) - {'rope_type', 'rope_theta'}:
        raise vision.unsupported('rope_parameters')
    frequencies = as_floats(inverse_frequencies(HfConfig(rope).number('rope_theta', 10000.0), dim // 2))
    outputs = len(fields.get('output_layers') or ())
    return ModelConfig(**{
        'vocab_size': hidden * (1 + outputs), 'hidden_size': hidden,
        'intermediate_size': padded(vision.size('intermediate_size')), 'layers': vision.size('depth'), 'heads': heads,
        'kv_heads': heads, 'head_dim': padded(dim), 'context_length': pixels.tiles_together * pixels.side ** 2,
        'norm_eps': EPS, 'tied_head': False, 'bos_token_id': None, 'eos_token_ids': [], 'encoder': True,
        'attention_scale': dim ** -0.5, 'rope_inv_freq': [*frequencies, *frequencies],
        'rope_axes': [1] * len(frequencies) + [2] * len(frequencies), **fields})


def merger(vision: HfConfig, pixels: Pixeling, text: ModelConfig) -> list[ModelConfig]:
    """Return the two matrices that project the patches of a tile to the language model."""
    if vision.size('out_hidden_size', text.hidden_size) != text.hidden_size:
        raise vision.unsupported('out_hidden_size')
    joined = vision.size('hidden_size') * pixels.side ** 2
    return [single_matrix(joined, joined), single_matrix(joined, text.hidden_size)]


def frames(vision: HfConfig) -> Mapping[str, Any]:
    """Return the fields of VisionConfig for the patches."""
    return {'frames': vision.size('temporal_patch_size', 2), 'merge': vision.size('spatial_merge_size', 2)}
