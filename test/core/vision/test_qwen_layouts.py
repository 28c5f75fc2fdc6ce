# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Directories of Qwen 2.5-VL and Qwen 3-VL as every release of transformers writes them, and what is refused."""
from __future__ import annotations

from collections.abc import Callable, Iterator
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from vision import tiny_qwen as tiny
from vision.tiny_qwen import BOUND, Tiny
from vision.tiny_smolvlm import picture
from vision.tiny_vision import error

from tinychat_core.engine import Engine
from tinychat_core.errors import UnsupportedModelError
from tinychat_core.families import model_config, vision_config
from tinychat_core.importers import import_model
from tinychat_core.vision.image import Image

Options = dict[str, Any]


@pytest.fixture(scope='module', params=tiny.NAMES)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    tiny_model = Tiny(request.param, tmp_path_factory.mktemp('qwen'))
    yield tiny_model
    tiny_model.engine.close()


def options_of(made: Tiny) -> tuple[Options, Options]:
    """Return config.json and preprocessor_config.json, as transformers 5 writes them."""
    return (json.loads((made.source / 'config.json').read_text()),
            json.loads((made.source / 'preprocessor_config.json').read_text()))


def before_5(config: Options, kind: str) -> Options:
    """Return a configuration with the rotary options of transformers 4.5x: `rope_scaling` beside `rope_theta`."""
    text, vision = dict(config['text_config']), dict(config['vision_config'])
    rope = text.pop('rope_parameters')
    text |= {'rope_theta': rope.pop('rope_theta'), 'rope_scaling': {**rope, 'type': kind, 'rope_type': 'default'}}
    vision.pop('rope_parameters', None)
    return {**config, 'text_config': text, 'vision_config': vision}


def flat(config: Options) -> Options:
    """Return a configuration as transformers 4.49 wrote it: the options of the text part beside the others."""
    older = before_5(config, 'mrope')
    text = older.pop('text_config')
    del text['rope_scaling']['rope_type']
    older['vision_config']['in_chans'] = older['vision_config'].pop('in_channels')
    return {**text, **older}


def renamed(made: Tiny, *changes: tuple[str, str]) -> Options:
    """Return the tensors with other beginnings of their names, the first that fits."""
    tensors = {}
    for name, tensor in made.reference.state_dict().items():
        old, new = next((each for each in changes if name.startswith(each[0])), ('', ''))
        tensors[new + name[len(old):]] = tensor
    return tensors


LAYOUTS: dict[str, Callable[[Tiny, Options], tuple[Options, Options]]] = {
    '5': lambda made, config: (config, renamed(made)),
    '4.5x': lambda made, config: (before_5(config, 'default'), renamed(made)),
    '4.5x, older names': lambda made, config: (before_5(config, 'mrope'), renamed(
        made, ('model.visual.', 'visual.'), ('model.language_model.', 'model.'))),
    'flat': lambda made, config: (flat(config), renamed(
        made, ('model.visual.', 'visual.'), ('model.language_model.', 'model.'))),
    'flat, language_model': lambda made, config: (flat(config), renamed(
        made, ('model.visual.', 'visual.'), ('model.language_model.', 'language_model.model.'),
        ('lm_head.', 'language_model.lm_head.'))),
}


@pytest.mark.parametrize('layout', LAYOUTS)
def test_every_layout_is_the_same_model(made: Tiny, layout: str, tmp_path: Path) -> None:
    config, tensors = LAYOUTS[layout](made, options_of(made)[0])
    source = tiny.save(made.reference, made.name, tmp_path / 'model', tensors, config)
    import_model(str(source), tmp_path / 'ours')
    opened = Engine.open(tmp_path / 'ours', threads=2)
    assert answer(opened) == answer(made.engine)
    opened.close()


def test_what_transformers_saves_is_the_same_model(made: Tiny, tmp_path: Path) -> None:
    source = tiny.save(made.reference, made.name, tmp_path / 'model')
    (source / 'model.safetensors').unlink()
    made.reference.save_pretrained(source)
    import_model(str(source), tmp_path / 'ours')
    opened = Engine.open(tmp_path / 'ours', threads=2)
    assert answer(opened) == answer(made.engine)
    opened.close()


def answer(engine: Engine) -> list[float]:
    images = engine.encode_images([Image(picture(200, 100))])
    ids = engine.tokenizer.encode_chat([{'role': 'user', 'content': 'what?', 'images': images}])
    logits: list[float] = engine.prefill(engine.new_cache(), ids).tolist()
    return logits


def test_without_its_vision_it_is_a_text_model(made: Tiny, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tensors = {name: tensor for name, tensor in made.reference.state_dict().items() if 'visual' not in name}
    source = tiny.save(made.reference, made.name, tmp_path / 'model', tensors)
    with caplog.at_level(logging.WARNING):
        import_model(str(source), tmp_path / 'ours')
    opened = Engine.open(tmp_path / 'ours', threads=2)
    assert opened.images is None
    ids = [65, 66, 67, 68]
    assert error(opened.prefill(opened.new_cache(), ids), made.logits(ids, [])[-1]) < BOUND
    opened.close()


@pytest.mark.parametrize('name', ['text_config', 'vision_config'])
def test_what_is_left_out_is_the_default_of_transformers(made: Tiny, name: str) -> None:
    """Or it is refused by name, or does not fit this model."""
    config, processor = options_of(made)
    kind = type(made.reference.config)
    text = model_config(config)
    whole = text, vision_config(config, processor, text)
    compared = 0
    for left_out in sorted(set(config[name]) - {'bos_token_id', 'eos_token_id'}):
        less = {**config, name: {key: value for key, value in config[name].items() if key != left_out}}
        try:
            filled = kind.from_dict(less).to_dict()
            full = model_config(filled)
            expected = full, vision_config(filled, {}, full)
        except Exception:  # what is left out has the size of a large model
            continue
        try:
            found_text = model_config(less)
            found = found_text, vision_config(less, {}, found_text)
        except UnsupportedModelError as problem:
            assert left_out in str(problem), left_out
            continue
        assert found == expected, left_out
        compared += 1
    assert whole[1] is not None and compared > 5


def change(place: str, **options: Any) -> Callable[[Options, Options], None]:
    def changed(config: Options, processor: Options) -> None:
        (processor if place == 'processor' else config[place] if place else config).update(options)

    return changed


def rope(**options: Any) -> Callable[[Options, Options], None]:
    def changed(config: Options, processor: Options) -> None:
        config['text_config']['rope_parameters'].update(options)

    return changed


@pytest.mark.parametrize(('of', 'changed', 'reason'), [
    ('', rope(mrope_section=[4, 6]), 'rope_parameters'),
    ('', rope(mrope_section='4,6,6'), 'rope_parameters'),
    ('qwen2.5-vl', rope(mrope_section=[4, 6, 7]), 'rope_scaling'),
    ('qwen2.5-vl', rope(mrope_interleaved=True), 'mrope_interleaved'),
    ('qwen3-vl', rope(mrope_interleaved=False), 'mrope_interleaved'),
    ('', rope(rope_type='spiral'), "the rope type 'spiral' is not supported"),
    ('', change('vision_config', in_channels=4), 'in_channels = 4'),
    ('', change('vision_config', num_heads=5), 'num_heads = 5'),
    ('', change('vision_config', rope_parameters={'rope_type': 'yarn'}), 'rope_parameters'),
    ('', change('vision_config', out_hidden_size=128), 'out_hidden_size = 128'),
    ('', change('vision_config', hidden_act='mish'), 'hidden_act'),
    ('qwen2.5-vl', change('vision_config', fullatt_block_indexes='all'), 'fullatt_block_indexes'),
    ('qwen2.5-vl', change('vision_config', window_size=14), 'window_size = 14'),
    ('qwen3-vl', change('vision_config', num_position_embeddings=50), 'num_position_embeddings = 50'),
    ('qwen3-vl', change('vision_config', deepstack_visual_indexes=[1, 0]), 'deepstack_visual_indexes'),
    ('qwen3-vl', change('vision_config', deepstack_visual_indexes=[0, 9]), 'output_layers'),
    ('qwen3-vl', change('vision_config', deepstack_visual_indexes=[0, 1, 2, 3, 4]), 'deepstack_layers = 5'),
    ('', change('processor', patch_size=8), 'patch_size = 8 is not the'),
    ('', change('processor', merge_size=1), 'merge_size = 1 is not the 2'),
    ('', change('processor', temporal_patch_size=1), 'temporal_patch_size = 1'),
    ('', change('processor', min_pixels=10**6, max_pixels=10**5), '1000000 to 100000 pixels'),
    ('', change('processor', max_pixels='many'), "max_pixels = 'many'"),
    ('', change('processor', do_resize=False), 'do_resize = false'),
    ('', change('processor', resample=0), 'resample = 0'),
])
def test_options_that_are_not_supported_are_refused_by_name(made: Tiny, of: str, changed: Any, reason: str) -> None:
    if of not in ('', made.name):
        return
    config, processor = options_of(made)
    changed(config, processor)
    with pytest.raises(UnsupportedModelError, match=reason):
        text = model_config(config)
        vision_config(config, processor, text)


@pytest.mark.parametrize(('name', 'shape', 'reason'), [
    ('model.visual.blocks.0.attn.qkv.weight', (96, 96), 'attn.qkv has the shape'),
    ('model.visual.blocks.1.norm1.weight', None, 'has no tensor model.visual.blocks.1.norm1.weight'),
    ('model.visual.patch_embed.proj.weight', (96, 3, 2, 7, 7), 'patch_embed.proj has the shape'),
    ('model.visual.extra.weight', (96, 96), 'extra.weight, which is not used'),
    ('model.visual.pos_embed.weight', (36, 96), r'pos_embed has the shape \[36, 96\] instead of \[49, 96\]'),
])
def test_tensors_that_do_not_fit_are_refused(made: Tiny, name: str, shape: Any, reason: str, tmp_path: Path) -> None:
    import torch
    tensors = dict(made.reference.state_dict())
    if 'pos_embed' in name and name not in tensors:
        return
    tensors.pop(name, None)
    if shape is not None:
        tensors[name] = torch.zeros(shape)
    source = tiny.save(made.reference, made.name, tmp_path / 'model', tensors)
    with pytest.raises(UnsupportedModelError, match=reason):
        import_model(str(source), tmp_path / 'ours')
    assert np.size(made.source) and not (tmp_path / 'ours').exists()
