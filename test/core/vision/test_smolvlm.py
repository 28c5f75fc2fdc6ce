# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""SmolVLM against transformers: pixels, embeddings, the text around them, logits of one and of later turns."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from vision import tiny_smolvlm as tiny
from vision.tiny_vision import error

from tinychat_core.checkpoint.vision_config import Pixeling
from tinychat_core.engine import Engine
from tinychat_core.importers import import_model
from tinychat_core.loading.reader import Checkpoint
from tinychat_core.vision.image import Image
from tinychat_core.vision.tiles import tiles_of

SIZES = [(56, 56), (100, 80), (80, 100), (640, 480), (123, 457), (17, 17), (1, 1), (300, 3)]
PIXELS = Pixeling(method='split', tile=tiny.TILE, patch=tiny.PATCH, resample='lanczos', mean=[0.5] * 3, std=[0.5] * 3,
                  longest_edge=tiny.LONGEST)
BOUND = 1e-4  # of the largest number of the reference


def reference_logits(reference: Any, ids: list[int], images: list[Any]) -> Any:
    """Return the logits [n, vocab] after each token of a prompt with these images."""
    arguments = {}
    if images:
        tiles = [tiny.reference_pixels(image)[0] for image in images]
        arguments['pixel_values'] = torch.from_numpy(np.concatenate(tiles))[None]
    with torch.no_grad():
        return reference(input_ids=torch.tensor([ids]), **arguments).logits[0].numpy()


def tokens_of(engine: Engine, ids: list[int]) -> list[int]:
    """Return the ids as transformers has them: the image's token for each row."""
    return [id_ if id_ < 1000 else tiny.IDS['<image>'] for id_ in ids]


@pytest.mark.parametrize('width, height', SIZES)
def test_the_pixels_are_those_of_transformers(width: int, height: int) -> None:
    picture = tiny.picture(width, height)
    expected, rows, columns = tiny.reference_pixels(picture)
    found = tiles_of(PIXELS, picture)
    assert (found.rows, found.columns) == (rows, columns)
    assert found.pixels.shape == expected.shape
    np.testing.assert_allclose(found.pixels, expected, atol=1e-6)


@pytest.mark.parametrize('width, height', SIZES)
def test_the_pixels_are_those_of_transformers_without_splitting(width: int, height: int) -> None:
    picture = tiny.picture(width, height)
    expected, *_ = tiny.reference_pixels(picture, do_image_splitting=False)
    found = tiles_of(Pixeling(method='squeeze', tile=tiny.TILE, patch=tiny.PATCH, resample='lanczos', mean=[0.5] * 3,
                              std=[0.5] * 3, longest_edge=tiny.LONGEST), picture)
    assert (found.rows, found.columns) == (0, 0)
    np.testing.assert_allclose(found.pixels, expected, atol=1e-6)


def test_the_embeddings_are_those_of_transformers(engine: Engine, reference: Any) -> None:
    picture = tiny.picture(200, 100)
    pixels, *_ = tiny.reference_pixels(picture)
    with torch.no_grad():
        expected = reference.get_image_features(torch.from_numpy(pixels)[None]).pooler_output[0].numpy()
    rows, = engine.encode_images([Image(picture)])
    assert rows.rows.shape == expected.shape
    assert error(rows.rows, expected) < BOUND


@pytest.mark.parametrize('width, height', [(56, 56), (200, 100)])
def test_the_prompt_is_that_of_transformers(engine: Engine, width: int, height: int) -> None:
    picture = tiny.picture(width, height)
    images = engine.encode_images([Image(picture)])
    found = engine.tokenizer.encode_chat([{'role': 'user', 'content': 'a door?', 'images': images}])
    text = tiny.reference_text(*tiny.reference_pixels(picture)[1:])
    expected = engine.tokenizer.encode(f'User:{text}a door?<end_of_utterance>\nAssistant:', parse_special=True)
    assert tokens_of(engine, found) == expected
    assert [id_ for id_ in found if id_ >= 1000] == [*images[0].numbers]


def test_the_logits_are_those_of_transformers_over_several_turns_and_chunks(engine: Engine, reference: Any) -> None:
    pictures = [tiny.picture(220, 210, seed) for seed in range(4)]
    images = engine.encode_images([Image(picture) for picture in pictures])
    first = engine.tokenizer.encode_chat([{'role': 'user', 'content': 'what?', 'images': images[:3]}])
    whole = engine.tokenizer.encode_chat([
        {'role': 'user', 'content': 'what?', 'images': images[:3]}, {'role': 'assistant', 'content': ' a door'},
        {'role': 'user', 'content': 'and here?', 'images': images[3:]}])
    assert len(first) > 300 and whole[:len(first)] == first  # the images reach over the end of a pass of 256 tokens
    cache = engine.new_cache()
    found = [engine.prefill(cache, first), engine.prefill(cache, whole[len(first):]), engine.decode(cache, 65)]
    expected = reference_logits(reference, [*tokens_of(engine, whole), 65], pictures)
    for row, logits in zip((len(first) - 1, len(whole) - 1, len(whole)), found, strict=True):
        assert error(logits, expected[row]) < BOUND


def test_the_image_changes_the_answer(engine: Engine) -> None:
    logits = []
    for seed in range(2):
        images = engine.encode_images([Image(tiny.picture(56, 56, seed))])
        ids = engine.tokenizer.encode_chat([{'role': 'user', 'content': 'what?', 'images': images}])
        logits.append(engine.prefill(engine.new_cache(), ids))
    assert error(*logits) > 0.01


def test_in_4_bits_the_encoder_has_8_and_computes_what_its_weights_mean(source: Path, reference: Any) -> None:
    ours = source.parent / 'ours-w4'
    import_model(str(source), ours, weights='W4', group_size=32)
    opened = Engine.open(ours, precision='W4A16', threads=2)
    checkpoint = Checkpoint.open(ours)
    formats = {name: entry.format for name, entry in checkpoint.manifest.tensors.items() if entry.format != 'f32'}
    assert {formats[name] for name in formats if name.startswith('vision.')} == {'w8g', 'bf16'}
    assert formats['layers.0.attn.qkv'] == 'w4z' and formats['vision.encoder.layers.0.mlp.up'] == 'w8g'
    with torch.no_grad():
        changed = tiny.model()
        _load(changed, checkpoint)
        picture = tiny.picture(200, 100)
        expected = changed.get_image_features(torch.from_numpy(tiny.reference_pixels(picture)[0])[None]).pooler_output
    rows, = opened.encode_images([Image(picture)])
    assert error(rows.rows, expected[0].numpy()) < BOUND
    opened.close()


def test_with_the_default_precision_of_8_bits_the_embeddings_stay_close(source: Path) -> None:
    """Many tokens are multiplied in bf16 where the CPU has matrix registers, in all layers of an encoder."""
    ours = source.parent / 'ours-w8'
    import_model(str(source), ours, weights='W8')
    found = []
    for precision in ('W8', 'W8A16'):
        opened = Engine.open(ours, precision=precision, threads=2)
        rows, = opened.encode_images([Image(tiny.picture(200, 100))])
        found.append(rows.rows)
        opened.close()
    assert error(*found) < 0.02


def _load(model: Any, checkpoint: Any) -> None:
    """Give the encoder of a reference the weights that a checkpoint means."""
    vision = model.model.vision_model
    for i, layer in enumerate(vision.encoder.layers):
        heads = checkpoint.linear(f'vision.encoder.layers.{i}.attn.qkv').dequantized().reshape(3, 4, 32, 96)
        for part, module in enumerate((layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj)):
            module.weight.copy_(torch.from_numpy(heads[part, :, :24].reshape(96, 96).copy()))
        out = checkpoint.linear(f'vision.encoder.layers.{i}.attn.o').dequantized().reshape(96, 4, 32)
        layer.self_attn.out_proj.weight.copy_(torch.from_numpy(out[:, :, :24].reshape(96, 96).copy()))
        layer.mlp.fc1.weight.copy_(torch.from_numpy(
            checkpoint.linear(f'vision.encoder.layers.{i}.mlp.up').dequantized()))
        layer.mlp.fc2.weight.copy_(torch.from_numpy(
            checkpoint.linear(f'vision.encoder.layers.{i}.mlp.down').dequantized()))
    model.model.connector.modality_projection.proj.weight.copy_(torch.from_numpy(
        checkpoint.linear('vision.projector.0.project_in').dequantized()))
