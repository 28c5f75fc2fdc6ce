# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""An InternVL with random weights that transformers made, with Qwen 2, Qwen 3 or LLaMA, and its directory."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import InternVLConfig, InternVLForConditionalGeneration
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from vision import tiny_vision
from vision.tiny_vision import with_visible_weights

TILE, PATCH = 56, 14
IDS = {'<IMG_CONTEXT>': 257, '<img>': 258, '</img>': 259}
IMAGE = IDS['<IMG_CONTEXT>']
PROCESSOR: dict[str, Any] = {
    'size': {'height': TILE, 'width': TILE}, 'crop_to_patches': True, 'min_patches': 1, 'max_patches': 6,
    'resample': 3, 'image_mean': [0.485, 0.456, 0.406], 'image_std': [0.229, 0.224, 0.225], 'rescale_factor': 1 / 255}
TEMPLATE = (
    "{% for message in messages %}{{'<' + message['role'] + '>\n'}}{% if message['content'] is string %}"
    "{{ message['content'] }}{% else %}{% for content in message['content'] %}{% if content['type'] == 'image' %}"
    "{{ '<IMG_CONTEXT>\n' }}{% elif content['type'] == 'text' %}{{ content['text'] }}{% endif %}{% endfor %}{% endif %}"
    "{{'<|end|>\n'}}{% endfor %}{% if add_generation_prompt %}{{'<assistant>\n' }}{% endif %}")


def model(kind: str = 'qwen2') -> InternVLForConditionalGeneration:
    """Return the model in float32, with weights that bf16 represents."""
    torch.manual_seed(0)
    config = InternVLConfig(
        image_token_id=IMAGE, tie_word_embeddings=False,
        text_config={'model_type': kind, 'vocab_size': 304, 'hidden_size': 64, 'intermediate_size': 96,
                     'num_hidden_layers': 2, 'num_attention_heads': 2, 'num_key_value_heads': 1, 'head_dim': 32,
                     'max_position_embeddings': 1024, 'initializer_range': 0.2, 'eos_token_id': 256,
                     'bos_token_id': None, 'pad_token_id': 256},
        vision_config={'hidden_size': 96, 'intermediate_size': 160, 'num_hidden_layers': 3, 'num_attention_heads': 4,
                       'image_size': [TILE, TILE], 'patch_size': [PATCH, PATCH], 'attention_bias': True,
                       'initializer_range': 0.2})
    return with_visible_weights(InternVLForConditionalGeneration(config))


def save(made: Any, directory: Path) -> Path:
    """Write the model's Hugging Face directory."""
    return tiny_vision.save(made, directory, PROCESSOR, IDS, TEMPLATE)


def reference_pixels(*images: Any) -> Any:
    """Return transformers' tiles [n, 3, TILE, TILE] of all images."""
    found = GotOcr2ImageProcessorPil(**PROCESSOR).preprocess(list(images), return_tensors='np',
                                                             input_data_format='channels_last')
    return torch.from_numpy(found['pixel_values'])
