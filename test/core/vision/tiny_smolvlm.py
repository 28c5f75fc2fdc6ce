# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A SmolVLM with random weights that transformers made, its directory, and pictures to show it."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.torch import save_file
import small_checkpoint as small
import torch
from transformers.models.smolvlm.configuration_smolvlm import SmolVLMConfig
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil
from transformers.models.smolvlm.modeling_smolvlm import SmolVLMForConditionalGeneration
from transformers.models.smolvlm.processing_smolvlm import get_image_prompt_string

TILE, LONGEST, FACTOR, PATCH = 56, 224, 2, 14
ROWS = (TILE // PATCH // FACTOR) ** 2  # of a tile
SPECIAL = ['<|end|>', '<image>', '<fake_token_around_image>', '<global-img>', '<end_of_utterance>',
           *(f'<row_{row}_col_{column}>' for row in range(1, 5) for column in range(1, 5))]
IDS = {token: 256 + i for i, token in enumerate(SPECIAL)}
TEMPLATE = (
    "{% for message in messages %}{{message['role'] | capitalize}}{% if message['content'][0]['type'] == 'image' %}"
    "{{':'}}{% else %}{{': '}}{% endif %}{% for line in message['content'] %}{% if line['type'] == 'text' %}"
    "{{line['text']}}{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}")
PROCESSOR = {'size': {'longest_edge': LONGEST}, 'max_image_size': {'longest_edge': TILE}, 'do_image_splitting': True,
             'image_mean': [0.5, 0.5, 0.5], 'image_std': [0.5, 0.5, 0.5], 'resample': 1, 'rescale_factor': 1 / 255}
Pixels = npt.NDArray[np.uint8]


def model() -> SmolVLMForConditionalGeneration:
    """Return the model in float32, with weights that bf16 represents."""
    torch.manual_seed(0)
    config = SmolVLMConfig(
        image_token_id=IDS['<image>'], scale_factor=FACTOR, tie_word_embeddings=False, pad_token_id=256,
        text_config={'model_type': 'llama', 'vocab_size': 304, 'hidden_size': 64, 'intermediate_size': 96,
                     'num_hidden_layers': 2, 'num_attention_heads': 2, 'num_key_value_heads': 1,
                     'max_position_embeddings': 2048, 'initializer_range': 0.2, 'eos_token_id': IDS['<|end|>'],
                     'bos_token_id': None, 'pad_token_id': 256},
        vision_config={'hidden_size': 96, 'intermediate_size': 160, 'num_hidden_layers': 3, 'num_attention_heads': 4,
                       'image_size': TILE, 'patch_size': PATCH, 'initializer_range': 0.2})
    made = SmolVLMForConditionalGeneration(config).eval()
    for parameter in made.parameters():
        noise = 0.05 * torch.randn_like(parameter) if parameter.ndim == 1 else 0
        parameter.data = (parameter.data + noise).to(torch.bfloat16).float()
    return made


def save(made: SmolVLMForConditionalGeneration, directory: Path, **processor: Any) -> Path:
    """Write the model's Hugging Face directory."""
    directory.mkdir(parents=True)
    save_file({name: tensor.contiguous() for name, tensor in made.state_dict().items()},
              directory / 'model.safetensors')
    config = {**made.config.to_dict(), 'architectures': ['SmolVLMForConditionalGeneration']}
    (directory / 'config.json').write_text(json.dumps(config, default=str))
    (directory / 'preprocessor_config.json').write_text(json.dumps({**PROCESSOR, **processor}))
    tokenizer = small.tokenizer()
    tokenizer['added_tokens'] = [{'id': id_, 'content': token, 'single_word': False, 'lstrip': False, 'rstrip': False,
                                  'normalized': False, 'special': True} for token, id_ in IDS.items()]
    (directory / 'tokenizer.json').write_text(json.dumps(tokenizer))
    (directory / 'tokenizer_config.json').write_text(json.dumps({'eos_token': '<|end|>', 'chat_template': TEMPLATE}))
    return directory


def picture(width: int, height: int, seed: int = 0) -> Pixels:
    """Return a picture of shapes and noise, as a camera would not make it."""
    random = np.random.default_rng(seed)
    row, column = np.mgrid[:height, :width]
    waves = np.stack([np.sin(row / (3 + i) + seed) + np.cos(column / (5 + i)) for i in range(3)], axis=-1)
    return np.clip(128 + 50 * waves + 20 * random.standard_normal((height, width, 3)), 0, 255).astype(np.uint8)


def reference_pixels(image: Pixels, **options: Any) -> tuple[npt.NDArray[np.float32], int, int]:
    """Return transformers' tiles [n, 3, TILE, TILE], and in how many rows and columns they were cut."""
    processor = SmolVLMImageProcessorPil(**{**PROCESSOR, **options})
    found = processor.preprocess([[image]], return_row_col_info=True, return_tensors='np',
                                 input_data_format='channels_last')
    return found['pixel_values'][0], found['rows'][0][0], found['cols'][0][0]


def reference_text(rows: int, columns: int) -> str:
    """Return what transformers puts in the place of an image."""
    return get_image_prompt_string(rows, columns, ROWS, '<fake_token_around_image>', '<image>', '<global-img>')
