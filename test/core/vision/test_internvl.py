# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""InternVL against transformers: tiles, embeddings, logits of several turns and passes, 8 bits."""
from __future__ import annotations

from collections.abc import Iterator
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from vision import dequantized, tiny_internvl as tiny
from vision.tiny_smolvlm import picture
from vision.tiny_vision import error

from tinychat_core.checkpoint.manifest import Manifest
from tinychat_core.engine import Engine
from tinychat_core.errors import UnsupportedModelError
from tinychat_core.importers import import_model
from tinychat_core.vision.image import Image
from tinychat_core.vision.tiles import tiles_of

SHAPES = [(56, 56), (100, 80), (80, 101), (640, 480), (480, 641), (17, 17), (1, 1), (300, 20), (20, 300), (112, 112)]
BOUND = 1e-4  # of the largest number of the reference


@pytest.fixture(scope='module', params=['qwen2', 'qwen3', 'llama'])
def model(request: pytest.FixtureRequest) -> Any:
    return tiny.model(request.param)


@pytest.fixture(scope='module')
def source(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(model, tmp_path_factory.mktemp('internvl') / 'model')


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
    pixels = tiny.reference_pixels(shown)
    found = tiles_of(vision.pixels, shown).pixels
    assert found.shape == pixels.shape
    np.testing.assert_allclose(found, pixels.numpy(), atol=1e-5)
    with torch.no_grad():
        expected = model.get_image_features(pixels).pooler_output.flatten(0, 1).numpy()
    rows, = engine.encode_images([Image(shown)])
    assert engine.images.count(width, height) == len(rows.rows) == len(expected)
    assert error(rows.rows, expected) < BOUND


def test_the_prompt_is_that_of_transformers(engine: Engine) -> None:
    rows, = images = engine.encode_images([Image(picture(112, 56))])
    ids = engine.tokenizer.encode_chat([{'role': 'user', 'content': 'what?', 'images': images}])
    expected = engine.tokenizer.encode(f'<user>\n<img>{"<IMG_CONTEXT>" * len(rows.rows)}</img>\nwhat?<|end|>\n'
                                       '<assistant>\n', parse_special=True)
    assert [id_ if id_ < 1000 else tiny.IMAGE for id_ in ids] == expected


def test_the_logits_are_those_of_transformers_over_two_turns_and_passes(engine: Engine, model: Any) -> None:
    pictures = [picture(150, 80, seed) for seed in range(12)] + [picture(90, 170, 1), picture(60, 60, 2)]
    images = engine.encode_images([Image(shown) for shown in pictures])
    first = engine.tokenizer.encode_chat([{'role': 'user', 'content': 'what? ' * 20, 'images': images[:13]}])
    whole = engine.tokenizer.encode_chat([
        {'role': 'user', 'content': 'what? ' * 20, 'images': images[:13]}, {'role': 'assistant', 'content': 'a door'},
        {'role': 'user', 'content': 'and here?', 'images': images[13:]}])
    assert whole[:len(first)] == first and len(first) > 256  # tokens of a pass
    cache = engine.new_cache()
    found = [engine.prefill(cache, first), engine.prefill(cache, whole[len(first):]), engine.decode(cache, 65)]
    ids = [*(id_ if id_ < 1000 else tiny.IMAGE for id_ in whole), 65]
    with torch.no_grad():
        expected = model(input_ids=torch.tensor([ids]), pixel_values=tiny.reference_pixels(*pictures)
                         ).logits[0].numpy()
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
    assert formats['layers.0.attn.qkv'] == 'w4z' and formats['vision.encoder.layers.0.attn.o'] == 'w8g'
    pixels = tiny.reference_pixels(shown)
    with torch.no_grad():
        embeddings = meant.get_image_features(pixels).pooler_output.flatten(0, 1).numpy()
        expected = meant(input_ids=torch.tensor([[id_ if id_ < 1000 else tiny.IMAGE for id_ in ids]]),
                         pixel_values=pixels).logits[0, -1].numpy()
    assert error(rows[0].rows, embeddings) < BOUND
    assert error(logits, expected) < BOUND


@pytest.mark.parametrize(('part', 'options', 'reason'), [
    ('vision_config', {'use_qk_norm': True}, 'use_qk_norm'), ('vision_config', {'norm_type': 'rms_norm'}, 'norm_type'),
    ('vision_config', {'image_size': [56, 112]}, 'image_size'), (None, {'downsample_ratio': 0.4}, 'downsample_ratio'),
    (None, {'vision_feature_layer': 5}, 'vision_feature_layer'),
    ('text_config', {'model_type': 'gemma'}, 'text_config'),
])
def test_an_unknown_option_is_refused_by_name(source: Path, tmp_path: Path, part: str | None,
                                              options: dict[str, Any], reason: str) -> None:
    for path in source.iterdir():
        (tmp_path / path.name).symlink_to(path)
    config = json.loads((source / 'config.json').read_text())
    (config if part is None else config[part]).update(options)
    (tmp_path / 'config.json').unlink()
    (tmp_path / 'config.json').write_text(json.dumps(config))
    with pytest.raises(UnsupportedModelError, match=reason):
        import_model(str(tmp_path), tmp_path / 'ours')
