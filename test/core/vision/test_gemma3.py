# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Gemma 3 against transformers: rows of an image see each other, also at the end of a part of the prompt."""
from __future__ import annotations

from collections.abc import Iterator
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_checkpoint as small
import torch
from transformers import Gemma3Config, Gemma3ForConditionalGeneration
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from vision.tiny_smolvlm import picture

from tinychat_core.engine import Engine
from tinychat_core.importers import import_model
from tinychat_core.loading.memory_plan import PIECE_TOKENS
from tinychat_core.sampling import SamplingParams
from tinychat_core.vision.image import Image
from tinychat_core.vision.image_rows import FIRST_ROW, part_end

TILE, ROWS = 112, 16
PART = PIECE_TOKENS['cpu']
IDS = {'<start_of_image>': 257, '<image_soft_token>': 258, '<end_of_image>': 259}
TEMPLATE = ('{% for message in messages %}<{{ message.role }}>{% for part in message.content %}'
            '{% if part.type == "image" %}<start_of_image>{% else %}{{ part.text }}{% endif %}{% endfor %}\n'
            '{% endfor %}{% if add_generation_prompt %}<model>{% endif %}')
PROCESSOR = {'size': {'height': TILE, 'width': TILE}, 'resample': 2, 'image_mean': [0.5] * 3, 'image_std': [0.5] * 3,
             'rescale_factor': 1 / 255}
BOUND = 1e-4  # of the largest number of the reference


def reference_pixels(image: Any) -> Any:
    return Gemma3ImageProcessorPil(**PROCESSOR).preprocess(image, return_tensors='np',
                                                           input_data_format='channels_last')['pixel_values']


@pytest.fixture(scope='module')
def model() -> Any:
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


@pytest.fixture(scope='module')
def gemma(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    directory = tmp_path_factory.mktemp('gemma3')
    source: Path = directory / 'model'
    model.save_pretrained(source)
    (source / 'preprocessor_config.json').write_text(json.dumps(PROCESSOR))
    tokenizer = small.tokenizer()
    tokenizer['added_tokens'] += [{**tokenizer['added_tokens'][0], 'id': id_, 'content': token}
                                  for token, id_ in IDS.items()]
    (source / 'tokenizer.json').write_text(json.dumps(tokenizer))
    (source / 'tokenizer_config.json').write_text(json.dumps({'eos_token': '<|end|>', 'chat_template': TEMPLATE}))
    import_model(str(source), directory / 'ours')
    opened = Engine.open(directory / 'ours', threads=2)
    yield opened
    opened.close()


def error(found: Any, expected: Any) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def test_the_embeddings_are_those_of_transformers(gemma: Engine, model: Any) -> None:
    shown = picture(150, 90)
    with torch.no_grad():
        expected = model.get_image_features(torch.from_numpy(reference_pixels(shown))).pooler_output[0].numpy()
    rows, = gemma.encode_images([Image(shown)])
    assert rows.rows.shape == expected.shape == (ROWS, 64)
    assert error(rows.rows, expected) < BOUND


@pytest.mark.parametrize('before', [0, PART - 30])
def test_the_logits_are_those_of_transformers(gemma: Engine, model: Any, before: int) -> None:
    """An image begins a few tokens before the end of a part of the prompt, and before that of a pass."""
    pictures = [picture(100, 100, seed) for seed in range(2)]
    images = gemma.encode_images([Image(shown) for shown in pictures])
    ids = gemma.tokenizer.encode_chat([
        {'role': 'user', 'content': 'x' * before}, {'role': 'assistant', 'content': 'y'},
        {'role': 'user', 'content': 'what?', 'images': images}])
    theirs = [id_ if id_ < FIRST_ROW else 258 for id_ in ids]
    generation = gemma.generate(ids, SamplingParams(max_new_tokens=2))
    token = next(generation)
    cache = gemma.new_cache()
    begin = 0
    while begin < len(ids):
        end = part_end(ids, begin, PART)
        logits = gemma.prefill(cache, ids[begin:end])
        begin = end
    with torch.no_grad():
        expected = model(input_ids=torch.tensor([theirs]), token_type_ids=torch.tensor([theirs]) == 258,
                         pixel_values=torch.from_numpy(np.concatenate(list(map(reference_pixels, pictures))))
                         ).logits[0, -1].numpy()
    assert error(logits, expected) < BOUND
    assert token.id == int(expected.argmax())


def test_no_part_of_a_prompt_ends_within_an_image() -> None:
    image = [*range(FIRST_ROW, FIRST_ROW + 20)]
    other = [*range(FIRST_ROW + (1 << 20), FIRST_ROW + (1 << 20) + 5)]
    prompt = [1] * 10 + image + other + [2]
    ends = [0]
    while ends[-1] < len(prompt):
        ends.append(part_end(prompt, ends[-1], 12))
    assert ends == [0, 10, 30, 36]
    assert part_end([1] * 30, 0, 12) == 12 and part_end([1], 0, 12) == 1
