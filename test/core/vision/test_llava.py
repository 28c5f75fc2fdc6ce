# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""LLaVA 1.5 against transformers: pixels, embeddings, logits of one and of later turns."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from vision import dequantized, tiny_llava as tiny
from vision.tiny_smolvlm import picture
from vision.tiny_vision import error

from tinychat_core.checkpoint.manifest import Manifest
from tinychat_core.engine import Engine
from tinychat_core.importers import import_model
from tinychat_core.vision.image import Image
from tinychat_core.vision.tiles import tiles_of

BOUND = 1e-4  # of the largest number of the reference


@pytest.fixture(scope='module')
def model() -> Any:
    return tiny.model()


@pytest.fixture(scope='module')
def llava(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    directory = tmp_path_factory.mktemp('llava')
    import_model(str(tiny.save(model, directory / 'model')), directory / 'ours')
    opened = Engine.open(directory / 'ours', threads=2)
    yield opened
    opened.close()


@pytest.mark.parametrize('width, height', [(56, 56), (100, 80), (80, 101), (640, 480), (17, 17), (1, 1)])
def test_the_pixels_are_those_of_transformers(llava: Engine, width: int, height: int) -> None:
    assert llava.path is not None
    vision = Manifest.read(llava.path).vision
    assert vision is not None
    shown = picture(width, height)
    np.testing.assert_allclose(tiles_of(vision.pixels, shown).pixels, tiny.reference_pixels(shown), atol=1e-5)


def test_the_embeddings_are_those_of_transformers(llava: Engine, model: Any) -> None:
    shown = picture(80, 60)
    with torch.no_grad():
        expected = model.get_image_features(
            torch.from_numpy(tiny.reference_pixels(shown)), vision_feature_layer=-2,
            vision_feature_select_strategy='default').pooler_output[0].numpy()
    rows, = llava.encode_images([Image(shown)])
    assert rows.rows.shape == expected.shape == (16, 64)
    assert error(rows.rows, expected) < BOUND


def test_the_logits_are_those_of_transformers_over_two_turns(llava: Engine, model: Any) -> None:
    pictures = [picture(80, 60, seed) for seed in range(2)]
    images = llava.encode_images([Image(shown) for shown in pictures])
    first = llava.tokenizer.encode_chat([{'role': 'user', 'content': 'what?', 'images': images[:1]}])
    whole = llava.tokenizer.encode_chat([
        {'role': 'user', 'content': 'what?', 'images': images[:1]}, {'role': 'assistant', 'content': 'a door'},
        {'role': 'user', 'content': 'and here?', 'images': images[1:]}])
    assert whole[:len(first)] == first
    cache = llava.new_cache()
    found = [llava.prefill(cache, first), llava.prefill(cache, whole[len(first):])]
    ids = [id_ if id_ < 1000 else tiny.IMAGE for id_ in whole]
    assert llava.tokenizer.encode('USER: ')[:4] == ids[:4]
    with torch.no_grad():
        expected = model(input_ids=torch.tensor([ids]), pixel_values=torch.from_numpy(
            np.concatenate([tiny.reference_pixels(shown) for shown in pictures]))).logits[0].numpy()
    for row, logits in zip((len(first) - 1, len(whole) - 1), found, strict=True):
        assert error(logits, expected[row]) < BOUND


def test_in_4_bits_with_an_encoder_of_8_it_computes_what_its_weights_mean(model: Any, tmp_path: Path) -> None:
    import_model(str(tiny.save(model, tmp_path / 'model')), tmp_path / 'w4', weights='W4', group_size=32)
    opened = Engine.open(tmp_path / 'w4', precision='W4A16', threads=2)
    shown = picture(80, 60)
    rows = opened.encode_images([Image(shown)])
    ids = opened.tokenizer.encode_chat([{'role': 'user', 'content': 'what?', 'images': rows}])
    logits = opened.prefill(opened.new_cache(), ids)
    opened.close()
    meant = tiny.model()
    formats = dequantized.load(meant, tmp_path / 'w4')
    assert formats['layers.0.attn.qkv'] == 'w4z' and formats['vision.encoder.layers.0.mlp.up'] == 'w8g'
    pixels = torch.from_numpy(tiny.reference_pixels(shown))
    with torch.no_grad():
        embeddings = meant.get_image_features(pixels, vision_feature_layer=-2,
                                              vision_feature_select_strategy='default').pooler_output[0].numpy()
        expected = meant(input_ids=torch.tensor([[id_ if id_ < 1000 else tiny.IMAGE for id_ in ids]]),
                         pixel_values=pixels).logits[0, -1].numpy()
    assert error(rows[0].rows, embeddings) < BOUND
    assert error(logits, expected) < BOUND
