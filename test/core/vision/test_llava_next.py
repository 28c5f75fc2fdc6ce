# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""LLaVA-NeXT against transformers: tiles, unpadding, ends of lines, logits of several turns and passes, 8 bits."""
from __future__ import annotations

from collections.abc import Iterator
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from vision import dequantized, tiny_llava, tiny_llava_next as tiny
from vision.tiny_smolvlm import picture
from vision.tiny_vision import error

from tinychat_core.checkpoint.manifest import Manifest
from tinychat_core.engine import Engine
from tinychat_core.errors import UnsupportedModelError
from tinychat_core.importers import import_model
from tinychat_core.vision.image import Image
from tinychat_core.vision.tiles import tiles_of

SHAPES = [(56, 56), (100, 80), (80, 101), (640, 480), (480, 641), (17, 17), (1, 1), (300, 20), (20, 300), (200, 57)]
BOUND = 1e-4  # of the largest number of the reference


@pytest.fixture(scope='module', params=['llama', 'mistral'])
def model(request: pytest.FixtureRequest) -> Any:
    return tiny.model(request.param)


@pytest.fixture(scope='module')
def source(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llava.save(model, tmp_path_factory.mktemp('llava_next') / 'model', tiny.PROCESSOR)


@pytest.fixture(scope='module')
def engine(source: Path) -> Iterator[Engine]:
    import_model(str(source), source.parent / 'ours')
    opened = Engine.open(source.parent / 'ours', threads=2)
    yield opened
    opened.close()


@pytest.mark.parametrize('width, height', SHAPES)
def test_pixels_embeddings_and_their_number_are_those_of_transformers(engine: Engine, model: Any, width: int,
                                                                      height: int) -> None:
    assert engine.path is not None and engine.images is not None
    vision = Manifest.read(engine.path).vision
    assert vision is not None
    shown = picture(width, height)
    inputs = tiny.reference_inputs(shown)
    found = tiles_of(vision.pixels, shown).pixels
    assert found.shape == inputs['pixel_values'][0].shape
    np.testing.assert_allclose(found, inputs['pixel_values'][0].numpy(), atol=1e-5)
    with torch.no_grad():
        expected = model.get_image_features(**inputs, vision_feature_layer=-2,
                                            vision_feature_select_strategy='default').pooler_output[0].numpy()
    rows, = engine.encode_images([Image(shown)])
    assert engine.images.count(width, height) == len(rows.rows) == len(expected)
    assert error(rows.rows, expected) < BOUND


def test_the_logits_are_those_of_transformers_over_two_turns_and_passes(engine: Engine, model: Any) -> None:
    pictures = [picture(150, 80, 0), picture(90, 170, 1), picture(60, 60, 2)]
    images = engine.encode_images([Image(shown) for shown in pictures])
    first = engine.tokenizer.encode_chat([{'role': 'user', 'content': 'what?', 'images': images[:2]}])
    whole = engine.tokenizer.encode_chat([
        {'role': 'user', 'content': 'what?', 'images': images[:2]}, {'role': 'assistant', 'content': 'a door'},
        {'role': 'user', 'content': 'and here? ' * 12, 'images': images[2:]}])
    assert whole[:len(first)] == first and len(whole) - len(first) > 150 and len(whole) > 300
    cache = engine.new_cache()
    found = [engine.prefill(cache, first), engine.prefill(cache, whole[len(first):]), engine.decode(cache, 65)]
    ids = [*(id_ if id_ < 1000 else tiny.IMAGE for id_ in whole), 65]
    with torch.no_grad():
        expected = model(input_ids=torch.tensor([ids]), **tiny.reference_inputs(*pictures)).logits[0].numpy()
    for row, logits in zip((len(first) - 1, len(whole) - 1, len(whole)), found, strict=True):
        assert error(logits, expected[row]) < BOUND


def test_in_4_bits_with_an_encoder_of_8_it_computes_what_its_weights_mean(source: Path) -> None:
    ours = source.parent / 'w4'
    import_model(str(source), ours, weights='W4', group_size=32)
    opened = Engine.open(ours, precision='W4A16', threads=2)
    shown = picture(150, 80)
    rows = opened.encode_images([Image(shown)])
    ids = opened.tokenizer.encode_chat([{'role': 'user', 'content': 'what?', 'images': rows}])
    logits = opened.prefill(opened.new_cache(), ids)
    opened.close()
    meant = tiny.model(json.loads((source / 'config.json').read_text())['text_config']['model_type'])
    formats = dequantized.load(meant, ours)
    assert formats['layers.0.attn.qkv'] == 'w4z' and formats['vision.encoder.layers.0.mlp.up'] == 'w8g'
    inputs = tiny.reference_inputs(shown)
    with torch.no_grad():
        embeddings = meant.get_image_features(**inputs, vision_feature_layer=-2,
                                              vision_feature_select_strategy='default').pooler_output[0].numpy()
        expected = meant(input_ids=torch.tensor([[id_ if id_ < 1000 else tiny.IMAGE for id_ in ids]]),
                         **inputs).logits[0, -1].numpy()
    assert error(rows[0].rows, embeddings) < BOUND
    assert error(logits, expected) < BOUND


@pytest.mark.parametrize(('file', 'options', 'reason'), [
    ('preprocessor_config.json', {'crop_size': {'height': 28, 'width': 28}}, 'crop_size'),
    ('preprocessor_config.json', {'image_grid_pinpoints': [[56, 56]]}, 'image_grid_pinpoints differs'),
    ('config.json', {'image_grid_pinpoints': [[57, 56]]}, 'not multiples of 56|image_grid_pinpoints differs'),
    ('config.json', {'vision_feature_select_strategy': 'full'}, 'vision_feature_select_strategy'),
    ('config.json', {'vision_feature_layer': [-2, -3]}, 'vision_feature_layer'),
])
def test_an_unknown_option_is_refused_by_name(source: Path, tmp_path: Path, file: str, options: dict[str, Any],
                                              reason: str) -> None:
    for path in source.iterdir():
        (tmp_path / path.name).symlink_to(path)
    changed = {**json.loads((source / file).read_text()), **options}
    (tmp_path / file).unlink()
    (tmp_path / file).write_text(json.dumps(changed))
    with pytest.raises(UnsupportedModelError, match=reason):
        import_model(str(tmp_path), tmp_path / 'ours')
