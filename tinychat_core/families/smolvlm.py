# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""SmolVLM, SmolVLM2 and Idefics 3: SigLIP on tiles of an image, pixel shuffle, and a LLaMA."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tinychat_core.checkpoint.model_config import ModelConfig
from tinychat_core.checkpoint.vision_config import Pixeling, Placing, single_matrix, VisionConfig
from tinychat_core.families import llama
from tinychat_core.families.hf_config import HfConfig
from tinychat_core.families.mmproj import Mmproj, SIGLIP_TENSORS
from tinychat_core.families.text_part import with_ends
from tinychat_core.families.vision import Processor, siglip, siglip_tensors, Vision

_BASE = 'model.vision_model.'
_IMAGE, _AROUND = '<image>', '<fake_token_around_image>'


def model_config(config: HfConfig) -> ModelConfig:
    """Return the configuration of the text part."""
    config.served('vision_config', 'scale_factor', 'image_token_id')
    tied = {'tie_word_embeddings': bool(config.get('tie_word_embeddings', False))}
    text = config.inner('text_config').or_else(rms_norm_eps=1e-5, **tied)
    # Options that older releases of transformers wrote, of modules that no model has.
    text.served('perceiver_config', 'pixel_shuffle_factor', 'qk_layer_norms', 'use_resampler', 'neftune_noise_alpha')
    return with_ends(config, llama.model_config(text))


def vision_config(config: HfConfig, options: Mapping[str, Any], text: ModelConfig) -> VisionConfig:
    """Return the vision configuration."""
    processor, inner = Processor(options), config.inner('vision_config')
    encoder, factor = siglip(inner), config.size('scale_factor', 2)
    tile = processor.edge('max_image_size', 'longest_edge', default=inner.size('image_size', 364))
    patch = inner.size('patch_size', 32)
    splits = processor.flag('do_image_splitting')
    pixels = Pixeling(
        method='split' if splits else 'squeeze', tile=tile, patch=patch,
        longest_edge=processor.edge('size', 'longest_edge', default=1456), **processor.shared(resample=1))
    rows = _AROUND + '<global-img>{rows}' + _AROUND
    return VisionConfig(
        pixels=pixels, encoder=encoder, merge=factor,
        projector=[single_matrix(encoder.hidden_size * factor ** 2, text.hidden_size)],
        placing=Placing(marker=_IMAGE, token=_IMAGE, whole=rows, tile=_AROUND + '<row_{row}_col_{column}>{rows}',
                        row_end='\n', overview='\n' + rows))


def _in_file(name: str) -> str:
    return name.replace('model.', 'model.text_model.', 1)


def _mmproj_options(found: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    tile = found['image_size']
    longest = found.get('preproc_image_size', 4 * tile)  # older files lack it
    return ({'scale_factor': found['projector.scale_factor']},
            {'size': {'longest_edge': longest}, 'max_image_size': {'longest_edge': tile}})


FAMILY = replace(
    llama.FAMILY, name='smolvlm', model_types=('smolvlm', 'idefics3'), model_config=model_config, gguf=None,
    tensors={ours: tuple(map(_in_file, theirs)) if isinstance(theirs, tuple) else _in_file(theirs)
             for ours, theirs in llama.TENSORS.items()},
    left_out=(_BASE, 'model.connector.'),
    vision=Vision(vision_config, {
        **siglip_tensors(_BASE),
        'projector.0.project_in': 'model.connector.modality_projection.proj',
    }),
    mmproj=Mmproj('idefics3', ('llama',), Vision(vision_config, {
        **SIGLIP_TENSORS, 'projector.0.project_in': 'mm.model.fc'}), _mmproj_options, gelu='gelu_pytorch_tanh'))
