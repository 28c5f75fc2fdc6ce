# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A LLaVA 1.5 with random weights that transformers made, and its directory."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import LlavaConfig, LlavaForConditionalGeneration
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from vision import tiny_vision
from vision.tiny_vision import with_visible_weights

TILE, PATCH = 56, 14
IMAGE = 257
PROCESSOR: dict[str, Any] = {
    'size': {'shortest_edge': TILE}, 'crop_size': {'height': TILE, 'width': TILE}, 'do_center_crop': True,
    'resample': 3,
    'image_mean': [0.48145466, 0.4578275, 0.40821073], 'image_std': [0.26862954, 0.26130258, 0.27577711],
    'rescale_factor': 1 / 255}
TEMPLATE = ('{% for message in messages %}{{ message.role | upper }}: {% for part in message.content %}'
            '{% if part.type == "image" %}<image>\n{% else %}{{ part.text }} {% endif %}{% endfor %}{% endfor %}'
            '{% if add_generation_prompt %}ASSISTANT:{% endif %}')


def model() -> LlavaForConditionalGeneration:
    """Return the model in float32, with weights that bf16 represents."""
    torch.manual_seed(0)
    config = LlavaConfig(
        image_token_index=IMAGE, projector_hidden_act='gelu', vision_feature_layer=-2,
        vision_feature_select_strategy='default', tie_word_embeddings=False,
        text_config={'model_type': 'llama', 'vocab_size': 304, 'hidden_size': 64, 'intermediate_size': 96,
                     'num_hidden_layers': 2, 'num_attention_heads': 2, 'num_key_value_heads': 1,
                     'max_position_embeddings': 512, 'initializer_range': 0.2, 'eos_token_id': 256,
                     'bos_token_id': None, 'pad_token_id': 256},
        vision_config={'model_type': 'clip_vision_model', 'hidden_size': 96, 'intermediate_size': 160,
                       'num_hidden_layers': 4, 'num_attention_heads': 4, 'image_size': TILE, 'patch_size': PATCH,
                       'hidden_act': 'quick_gelu', 'initializer_range': 0.2})
    return with_visible_weights(LlavaForConditionalGeneration(config))


def save(made: Any, directory: Path, processor: dict[str, Any] = PROCESSOR) -> Path:
    """Write the model's Hugging Face directory, with the names that transformers publishes."""
    return tiny_vision.save(made, directory, processor, {'<image>': IMAGE}, TEMPLATE)


def reference_pixels(image: Any) -> Any:
    """Return transformers' pixels [1, 3, TILE, TILE]."""
    return CLIPImageProcessorPil(**PROCESSOR).preprocess(image, return_tensors='np',
                                                         input_data_format='channels_last')['pixel_values']
