# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A LLaVA-NeXT with random weights that transformers made, with Vicuna or Mistral, and its directory."""
from __future__ import annotations

from typing import Any

import torch
from transformers import LlavaNextConfig, LlavaNextForConditionalGeneration
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil
from vision.tiny_llava import IMAGE, PATCH, PROCESSOR as OF_LLAVA, TILE
from vision.tiny_vision import with_visible_weights

SIZES = [[TILE, 2 * TILE], [2 * TILE, TILE], [2 * TILE, 2 * TILE], [3 * TILE, TILE], [TILE, 3 * TILE]]
PROCESSOR: dict[str, Any] = {**OF_LLAVA, 'do_pad': True, 'image_grid_pinpoints': SIZES}


def model(kind: str = 'llama') -> LlavaNextForConditionalGeneration:
    """Return the model in float32, with weights that bf16 represents."""
    torch.manual_seed(0)
    config = LlavaNextConfig(
        image_token_index=IMAGE, projector_hidden_act='gelu', tie_word_embeddings=False, image_grid_pinpoints=SIZES,
        text_config={'model_type': kind, 'vocab_size': 304, 'hidden_size': 64, 'intermediate_size': 96,
                     'num_hidden_layers': 2, 'num_attention_heads': 2, 'num_key_value_heads': 1, 'head_dim': 32,
                     'max_position_embeddings': 1024, 'initializer_range': 0.2, 'eos_token_id': 256,
                     'bos_token_id': None, 'pad_token_id': 256},
        vision_config={'model_type': 'clip_vision_model', 'hidden_size': 96, 'intermediate_size': 160,
                       'num_hidden_layers': 4, 'num_attention_heads': 4, 'image_size': TILE, 'patch_size': PATCH,
                       'hidden_act': 'quick_gelu', 'initializer_range': 0.2})
    return with_visible_weights(LlavaNextForConditionalGeneration(config))


def reference_inputs(*images: Any) -> dict[str, Any]:
    """Return transformers' pixel_values [n, most tiles, 3, TILE, TILE] and image_sizes."""
    found = LlavaNextImageProcessorPil(**PROCESSOR).preprocess(list(images), return_tensors='np',
                                                               input_data_format='channels_last')
    return {name: torch.from_numpy(found[name]) for name in ('pixel_values', 'image_sizes')}
