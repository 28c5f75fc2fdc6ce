# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Qwen 2.5-VL and Qwen 3-VL against transformers: pixels, embeddings, logits of several turns, in parts of any size."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Qwen2VLImageProcessorPil
from vision import tiny_qwen as tiny
from vision.tiny_qwen import BOUND, Tiny
from vision.tiny_smolvlm import picture
from vision.tiny_vision import error

from tinychat_core.checkpoint.vision_config import Pixeling
from tinychat_core.engine import Engine
from tinychat_core.importers import import_model
from tinychat_core.loading.reader import Checkpoint
from tinychat_core.vision.image import Image
from tinychat_core.vision.native_size import patches_of
from tinychat_core.vision.sizes import grid

# The random text part enlarges what the encoder's sums of two bf16 numbers (with AMX) leave of float32.
LOGITS_BOUND = 1e-3
# Enlarged to the fewest pixels, reduced to the most, halves of a tile, narrow ones.
SIZES = [(56, 56), (200, 100), (100, 200), (640, 480), (1280, 720), (123, 457), (17, 17), (1, 1), (300, 3), (42, 98),
         (48, 112), (3, 500), (600, 3)]


@pytest.fixture(scope='module', params=tiny.NAMES)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    tiny_model = Tiny(request.param, tmp_path_factory.mktemp('qwen'))
    yield tiny_model
    tiny_model.engine.close()


@pytest.mark.parametrize(('width', 'height'), SIZES)
def test_the_pixels_are_those_of_transformers(made: Tiny, width: int, height: int) -> None:
    shown = picture(width, height)
    expected, (_, rows, columns) = tiny.reference_pixels(made.name, shown)
    assert made.engine.images is not None
    found, tile_rows, tile_columns = patches_of(made.engine.images.config, shown)
    assert (2 * tile_rows, 2 * tile_columns) == (rows, columns)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert made.engine.images.count(width, height) == len(expected) // 4


@pytest.mark.parametrize(('fewest', 'most'), [(4, 16384), (4, 4), (1, 1), (9, 12), (100, 1280), (70, 71)])
def test_the_grid_is_that_of_transformers(fewest: int, most: int) -> None:
    pixels = Pixeling(method='native', tile=28, patch=14, resample='bicubic', mean=[0.5] * 3, std=[0.5] * 3,
                      min_pixels=fewest * 28 ** 2, max_pixels=most * 28 ** 2)
    theirs = Qwen2VLImageProcessorPil(min_pixels=fewest * 28 ** 2, max_pixels=most * 28 ** 2)
    random = np.random.default_rng(0)
    sizes = [(1, 1), (1, 200), (200, 1), (14, 14), (42, 42), (4000, 20), (8192, 4096), (5, 1000)]
    for width, height in [*sizes, *(np.exp(random.uniform(2, 7.9, (300, 2))).astype(int).tolist())]:
        rows, columns = grid(pixels, width, height)
        assert 4 * rows * columns == theirs.get_number_of_image_patches(height, width)
        assert rows * columns <= pixels.tiles_together


@pytest.mark.parametrize(('width', 'height'), [(200, 100), (64, 300), (500, 333), (20, 20), (600, 3), (1000, 20)])
def test_the_embeddings_are_those_of_transformers(made: Tiny, width: int, height: int) -> None:
    """Also where the last windows are smaller, and where the image is a single row."""
    shown = picture(width, height)
    expected = tiny.features(made.reference, made.name, shown)
    rows, = made.engine.encode_images([Image(shown)])
    assert rows.rows.shape == expected.shape
    for part in range(0, expected.shape[1], 96):
        assert error(rows.rows[:, part:part + 96], expected[:, part:part + 96]) < BOUND


def test_the_logits_are_those_of_transformers_over_several_turns_and_chunks(made: Tiny) -> None:
    engine = made.engine
    pictures = [picture(300, 210, 0), picture(100, 400, 1), picture(500, 333, 2), picture(60, 60, 3)]
    images = engine.encode_images([Image(shown) for shown in pictures])
    turns: list[dict[str, Any]] = [{'role': 'user', 'content': 'x' * 150, 'images': images[:3]}]
    first = engine.tokenizer.encode_chat(turns)
    turns += [{'role': 'assistant', 'content': 'a door'},
              {'role': 'user', 'content': 'and here?', 'images': images[3:]}]
    whole = engine.tokenizer.encode_chat(turns)
    assert len(first) > 300 and whole[:len(first)] == first
    cache = engine.new_cache()
    found = [engine.prefill(cache, first), engine.prefill(cache, whole[len(first):]), engine.decode(cache, 65),
             engine.decode(cache, 66)]
    expected = made.logits([*whole, 65, 66], pictures)
    for row, logits in zip((len(first) - 1, len(whole) - 1, len(whole), len(whole) + 1), found, strict=True):
        assert error(logits, expected[row]) < LOGITS_BOUND


@pytest.mark.parametrize('part', [1, 7, 50, 256])
def test_a_prompt_may_be_cut_anywhere(made: Tiny, part: int) -> None:
    """Within an image, too: the next part knows where the image began."""
    pictures = [picture(200, 100, 4), picture(100, 200, 5)]
    images = made.engine.encode_images([Image(shown) for shown in pictures])
    ids = made.engine.tokenizer.encode_chat([{'role': 'user', 'content': 'x' * 30, 'images': images}])
    cache = made.engine.new_cache()
    for begin in range(0, len(ids), part):
        logits = made.engine.prefill(cache, ids[begin:begin + part])
    assert error(logits, made.logits(ids, pictures)[-1]) < LOGITS_BOUND


def test_text_alone_and_images_that_meet(made: Tiny) -> None:
    """The same image twice in a row, without text between, which transformers itself does not place."""
    ids = made.engine.tokenizer.encode_chat([{'role': 'user', 'content': 'hello'}])
    assert error(made.engine.prefill(made.engine.new_cache(), ids), made.logits(ids, [])[-1]) < BOUND
    image, = made.engine.encode_images([Image(picture(200, 100))])
    cache, (rows, columns) = made.engine.new_cache(), image.grid or (0, 0)
    made.engine.prefill(cache, [65, *image.numbers, *image.numbers, 66])
    assert cache.next_position(cache.length) == 2 + 2 * max(rows, columns)


def test_in_4_bits_the_numbers_are_those_that_the_weights_mean(made: Tiny, tmp_path: Path) -> None:
    import_model(str(made.source), tmp_path / 'w4', weights='W4', group_size=32)
    checkpoint = Checkpoint.open(tmp_path / 'w4')
    formats = {name: entry.format for name, entry in checkpoint.manifest.tensors.items() if entry.format != 'f32'}
    assert formats['layers.0.attn.qkv'] == 'w4z' and formats['vision.encoder.layers.0.attn.qkv'] == 'w8g'
    assert {formats[name] for name in formats if name.startswith('vision.')} <= {'w8g', 'bf16'}
    changed = tiny.model(made.name)
    with torch.no_grad():
        tiny.load(changed, checkpoint)
    opened = Engine.open(tmp_path / 'w4', precision='W4A16', threads=2)
    shown = picture(300, 210)
    rows, = images = opened.encode_images([Image(shown)])
    expected = tiny.features(changed, made.name, shown)
    assert error(rows.rows, expected) < BOUND
    assert error(expected, tiny.features(made.reference, made.name, shown)) > 1e-3
    ids = opened.tokenizer.encode_chat([{'role': 'user', 'content': 'what?', 'images': images}])
    expected = tiny.logits(changed, made.name, made.theirs(ids), [shown])[-1]
    assert error(opened.prefill(opened.new_cache(), ids), expected) < 1e-3
    opened.close()
