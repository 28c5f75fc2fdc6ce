# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A Gemma 3 with random weights that transformers made, and its directory."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import Gemma3Config, Gemma3ForConditionalGeneration
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from vision import tiny_vision

TILE, ROWS = 112, 16
IDS = {'<start_of_image>': 257, '<image_soft_token>': 258, '<end_of_image>': 259}
IMAGE = IDS['<image_soft_token>']
TEMPLATE = ('{% for message in messages %}<{{ message.role }}>{% for part in message.content %}'
            '{% if part.type == "image" %}<start_of_image>{% else %}{{ part.text }}{% endif %}{% endfor %}\n'
            '{% endfor %}{% if add_generation_prompt %}<model>{% endif %}')
PROCESSOR = {'size': {'height': TILE, 'width': TILE}, 'resample': 2, 'image_mean': [0.5] * 3, 'image_std': [0.5] * 3,
             'rescale_factor': 1 / 255}


def model() -> Gemma3ForConditionalGeneration:
    """Return the model in float32, with weights that bf16 represents."""
    torch.manual_seed(0)
    config = Gemma3Config(
        boi_token_index=257, image_token_index=258, eoi_token_index=259, mm_tokens_per_image=ROWS,
        text_config={'vocab_size': 304, 'hidden_size': 64, 'intermediate_size': 96, 'num_hidden_layers': 6,
                     'num_attention_heads': 2, 'num_key_value_heads': 1, 'head_dim': 32, 'sliding_window': 24,
                     'max_position_embeddings': 1024, 'initializer_range': 0.2, 'query_pre_attn_scalar': 32,
                     'eos_token_id': 256, 'pad_token_id': 0, 'bos_token_id': None},
        vision_config={'hidden_size': 96, 'intermediate_size': 160, 'num_hidden_layers': 2, 'num_attention_heads': 4,
                       'image_size': TILE, 'patch_size': 14})
    config._attn_implementation = 'eager'
    made = Gemma3ForConditionalGeneration(config).eval()
    for name, parameter in made.named_parameters():
        scale = 0.05 if parameter.ndim == 1 else 0.2
        noise = scale * torch.randn_like(parameter)
        parameter.data = (parameter.data + noise if parameter.ndim == 1 else noise).to(torch.bfloat16).float()
        assert parameter.abs().max() > 0, name
    made.tie_weights()
    return made


def save(made: Any, directory: Path) -> Path:
    """Write the model's Hugging Face directory."""
    return tiny_vision.save(made, directory, PROCESSOR, IDS, TEMPLATE)


def reference_pixels(image: Any) -> Any:
    """Return transformers' pixels [1, 3, TILE, TILE]."""
    return Gemma3ImageProcessorPil(**PROCESSOR).preprocess(image, return_tensors='np',
                                                           input_data_format='channels_last')['pixel_values']
