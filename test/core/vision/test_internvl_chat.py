# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""InternVL in its authors' own layout: the same numbers as from the directory of transformers."""
from __future__ import annotations

import json
from pathlib import Path
import re
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
import torch
from vision import tiny_internvl as tiny
from vision.tiny_smolvlm import picture

from tinychat_core.checkpoint.manifest import Manifest
from tinychat_core.engine import Engine
from tinychat_core.errors import UnsupportedModelError
from tinychat_core.importers import import_model
from tinychat_core.vision.image import Image

LAYER = {'layernorm_before': 'norm1', 'layernorm_after': 'norm2', 'attention.projection_layer': 'attn.proj',
         'mlp.fc1': 'mlp.fc1', 'mlp.fc2': 'mlp.fc2', 'lambda_1': 'ls1', 'lambda_2': 'ls2'}
REST = {'embeddings.cls_token': 'embeddings.class_embedding',
        'embeddings.position_embeddings': 'embeddings.position_embedding',
        'embeddings.patch_embeddings.projection': 'embeddings.patch_embedding'}
PROJECTOR = {'layer_norm': 'mlp1.0', 'linear_1': 'mlp1.1', 'linear_2': 'mlp1.3'}
# As published beside InternVL3-1B, with other sizes.
OPTIONS: dict[str, Any] = {
    'architectures': ['InternVLChatModel'], 'model_type': 'internvl_chat', 'downsample_ratio': 0.5,
    'dynamic_image_size': True, 'force_image_size': tiny.TILE, 'hidden_size': 64, 'image_fold': None,
    'max_dynamic_patch': 6, 'min_dynamic_patch': 1, 'output_attentions': False, 'pad2square': False,
    'ps_version': 'v2', 'select_layer': -1, 'system_message': None, 'template': 'internvl2_5',
    'tie_word_embeddings': False, 'torch_dtype': 'bfloat16', 'use_backbone_lora': 0, 'use_llm_lora': 0,
    'use_thumbnail': True}
VISION: dict[str, Any] = {
    'architectures': ['InternVisionModel'], 'attention_dropout': 0.0, 'capacity_factor': 1.2, 'drop_path_rate': 0.1,
    'hidden_act': 'gelu', 'hidden_size': 96, 'image_size': tiny.TILE, 'initializer_factor': 0.1,
    'intermediate_size': 160, 'layer_norm_eps': 1e-6, 'model_type': 'intern_vit_6b', 'moe_coeff_ratio': 0.5,
    'moe_intermediate_size': 768, 'moe_output_scale': 4.0, 'norm_type': 'layer_norm', 'num_attention_heads': 4,
    'num_channels': 3, 'num_experts': 8, 'num_hidden_layers': 3, 'num_routed_experts': 4, 'num_shared_experts': 4,
    'patch_size': tiny.PATCH, 'qk_normalization': False, 'qkv_bias': True, 'shared_expert_intermediate_size': 3072,
    'use_bfloat16': True, 'use_flash_attn': False, 'use_moe': False, 'use_residual': True}
PROCESSOR = {'crop_size': tiny.TILE, 'do_center_crop': True, 'do_normalize': True, 'do_resize': True, 'resample': 3,
             'feature_extractor_type': 'CLIPFeatureExtractor', 'image_mean': [0.485, 0.456, 0.406],
             'image_std': [0.229, 0.224, 0.225], 'size': tiny.TILE}


def their_name(name: str) -> str:
    """Return the name of a tensor of transformers in the authors' layout."""
    stem, ending = re.fullmatch(r'(.+?)(\.weight|\.bias|)', name.removeprefix('model.')).groups()  # type: ignore[union-attr]
    part, _, rest = stem.partition('.')
    if part == 'multi_modal_projector':
        return PROJECTOR[rest] + ending
    if part != 'vision_tower':
        return f'language_model.{name.removeprefix("language_model.")}'
    layer = re.fullmatch(r'encoder\.layer\.(\d+)\.(.+)', rest)
    return 'vision_model.' + (f'encoder.layers.{layer[1]}.{LAYER[layer[2]]}' if layer else REST[rest]) + ending


def rewrite(source: Path, directory: Path, changes: dict[str, Any], vision: dict[str, Any]) -> Path:
    """Write a directory of transformers in the authors' layout."""
    directory.mkdir()
    found = load_file(source / 'model.safetensors')
    made = {}
    for name in [name for name in found if '.q_proj.' in name and 'vision_tower' in name]:
        parts = [found.pop(name.replace('q_proj', f'{part}_proj')) for part in 'qkv']
        layer, ending = re.search(r'layer\.(\d+)\..+\.(\w+)$', name).groups()  # type: ignore[union-attr]
        made[f'vision_model.encoder.layers.{layer}.attn.qkv.{ending}'] = torch.cat(parts)
    made |= {their_name(name): tensor for name, tensor in found.items()}
    save_file({name: tensor.contiguous() for name, tensor in made.items()}, directory / 'model.safetensors')
    text = json.loads((source / 'config.json').read_text())['text_config']
    inner = {name: value for name, value in {**VISION, **vision}.items() if value != 'absent'}
    config = {**OPTIONS, 'llm_config': text, 'vision_config': inner, **changes}
    (directory / 'config.json').write_text(json.dumps({
        name: value for name, value in config.items() if value != 'absent'}))
    (directory / 'preprocessor_config.json').write_text(json.dumps(PROCESSOR))
    for name in ('tokenizer.json', 'tokenizer_config.json'):
        (directory / name).symlink_to(source / name)
    return directory


@pytest.fixture(scope='module')
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(tiny.model('qwen2'), tmp_path_factory.mktemp('internvl') / 'model')


def results(path: Path) -> tuple[Any, Any]:
    """Return the embeddings of an image of several tiles, and the logits after a question about it."""
    engine = Engine.open(path, threads=2)
    rows = engine.encode_images([Image(picture(150, 80))])
    ids = engine.tokenizer.encode_chat([{'role': 'user', 'content': 'what?', 'images': rows}])
    logits = engine.prefill(engine.new_cache(), ids)
    engine.close()
    return rows[0].rows, logits


def test_the_numbers_are_those_of_the_directory_of_transformers(source: Path, tmp_path: Path,
                                                                caplog: pytest.LogCaptureFixture) -> None:
    import_model(str(source), tmp_path / 'expected')
    import_model(str(rewrite(source, tmp_path / 'theirs', {}, {})), tmp_path / 'found')
    assert 'does not generate text' not in caplog.text
    first, second = (Manifest.read(tmp_path / name).vision for name in ('expected', 'found'))
    assert first is not None and second is not None
    assert (second.pixels, second.placing) == (first.pixels, first.placing)
    for expected, found in zip(results(tmp_path / 'expected'), results(tmp_path / 'found'), strict=True):
        assert np.array_equal(found, expected)


@pytest.mark.parametrize(('changes', 'vision', 'reason'), [
    ({'ps_version': 'v1'}, {}, "ps_version = 'v1' is not supported"),
    ({'ps_version': 'absent'}, {}, 'lacks ps_version'),
    ({'use_thumbnail': False}, {}, 'use_thumbnail'), ({'dynamic_image_size': False}, {}, 'dynamic_image_size'),
    ({'pad2square': True}, {}, 'pad2square'), ({'force_image_size': 112}, {}, 'force_image_size'),
    ({'llm_config': {'model_type': 'internlm2'}}, {}, 'llm_config'), ({'llm_config': 'absent'}, {}, 'llm_config'),
    ({}, {'qk_normalization': True}, 'use_qk_norm'), ({}, {'qk_normalization': 'absent'}, 'use_qk_norm'),
    ({}, {'norm_type': 'rms_norm'}, 'norm_type'), ({}, {'use_moe': True}, 'use_moe'),
])
def test_an_option_that_is_not_supported_is_refused_by_name(source: Path, tmp_path: Path, changes: dict[str, Any],
                                                            vision: dict[str, Any], reason: str) -> None:
    theirs = rewrite(source, tmp_path / 'theirs', changes, vision)
    with pytest.raises(UnsupportedModelError, match=reason):
        import_model(str(theirs), tmp_path / 'ours')
