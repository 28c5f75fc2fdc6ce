# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Which files of a directory have the weights: transformers' own choice is the judge wherever it finds some."""
from __future__ import annotations

from itertools import combinations
import json
import os
from pathlib import Path
from typing import Any

import pytest
from small_huggingface import save, tensors
import torch

from tinychat_core.errors import TinyChatError
from tinychat_core.importers import import_model
from tinychat_core.importers.weight_files import weight_files

SHARDS = ('model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors')
INDEX = {'metadata': {}, 'weight_map': {'a': SHARDS[1], 'b': SHARDS[0]}}
# What a directory may have, each with the files that belong to it.
THINGS = {
    'single': ('model.safetensors',), 'index': ('model.safetensors.index.json', *SHARDS),
    'pickle': ('pytorch_model.bin',), 'gptq': ('gptq_model-4bit-128g.safetensors',),
    'half': ('model.fp16.safetensors',),
    'folder': ('original/model.safetensors',), 'consolidated': ('consolidated.safetensors',)}
GPTQ = {'quantization_config': {'bits': 4, 'group_size': 128}}


def put(directory: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_text(json.dumps(INDEX) if name.endswith('.json') else '')


def theirs(directory: Path, config: dict[str, Any]) -> list[str] | None:
    """Return the files that transformers chooses, None where it finds none."""
    from transformers import modeling_utils

    try:
        files, _ = modeling_utils._get_resolved_checkpoint_files(
            directory, None, None, None, None, is_remote_code=False,
            transformers_explicit_filename=config.get('transformers_weights'))
    except OSError:
        return None
    return [os.path.relpath(file, directory) for file in files or []]


@pytest.mark.parametrize('count', range(len(THINGS) + 1))
def test_the_choice_is_that_of_transformers(tmp_path: Path, count: int) -> None:
    for number, chosen in enumerate(combinations(THINGS, count)):
        directory = tmp_path / str(number)
        directory.mkdir()
        put(directory, tuple(name for thing in chosen for name in THINGS[thing]))
        wanted = theirs(directory, {})
        try:
            found = [os.path.relpath(path, directory) for path in weight_files(directory, GPTQ)]
        except TinyChatError:
            found = None
        if wanted is None:
            # Nothing that transformers finds: GPTQ's name, then what is alone.
            alone = {'gptq': THINGS['gptq'], 'half': THINGS['half']}
            assert found == next((list(alone[thing]) for thing in alone if thing in chosen), None), chosen
        else:
            assert found == (None if wanted == ['pytorch_model.bin'] else wanted), chosen


@pytest.mark.parametrize('name', ['other.safetensors', 'sub/other.safetensors', 'other.safetensors.index.json'])
def test_a_file_that_the_configuration_names(tmp_path: Path, name: str) -> None:
    put(tmp_path, ('model.safetensors', name, *SHARDS))
    config = {'transformers_weights': name}
    assert [os.path.relpath(path, tmp_path) for path in weight_files(tmp_path, config)] == theirs(tmp_path, config)


@pytest.mark.parametrize('name', ['../model.safetensors', '/etc/passwd', 'sub/../../model.safetensors', 'a.bin', 7,
                                  'x\0'])
def test_a_name_that_leads_elsewhere(tmp_path: Path, name: Any) -> None:
    put(tmp_path, ('model.safetensors', 'a.bin'))
    with pytest.raises(TinyChatError, match=r'outside this directory|not a safetensors file|not a file name'):
        weight_files(tmp_path, {'transformers_weights': name})
    (tmp_path / 'model.safetensors').unlink()
    (tmp_path / 'model.safetensors.index.json').write_text(json.dumps({'weight_map': {'a': name}}))
    with pytest.raises(TinyChatError, match=r'outside this directory|not a safetensors file|no weight_map'):
        weight_files(tmp_path, {})


@pytest.mark.parametrize(('names', 'chosen'), [
    (('gptq_model-4bit-128g.safetensors',), None), (('model.int4.safetensors',), 'model.int4.safetensors'),
    (SHARDS, SHARDS[0]), (('gptq_model-4bit-128g.safetensors.index.json', *SHARDS), None),
    (('part.safetensors.index.json', *SHARDS), 'part.safetensors.index.json'),
    (('only.safetensors', 'adapter_model.safetensors'), 'only.safetensors')])
def test_a_name_of_no_convention_is_said(tmp_path: Path, names: tuple[str, ...], chosen: str | None,
                                         core_log: pytest.LogCaptureFixture) -> None:
    put(tmp_path, names)
    assert weight_files(tmp_path, GPTQ)
    said = [record.getMessage() for record in core_log.records]
    assert said == ([] if chosen is None else [
        f'{tmp_path}: there is no model.safetensors; its weights are read from {chosen}'])


@pytest.mark.parametrize(('names', 'reason'), [
    ((), 'has no weights: neither model.safetensors nor model.safetensors.index.json'),
    (('training_args.bin', 'optimizer.pt'), 'has no weights: neither'),
    (('pytorch_model.bin',), 'has its weights in .bin files, which can contain code; save them as safetensors with'),
    (('consolidated.00.pth', 'params.json'), 'in consolidated.00.pth, which is not supported; get the model in'),
    (('flax_model.msgpack',), 'has its weights in flax_model.msgpack, which is not supported'),
    (('tiny.gguf',), 'give one of its GGUF files: '),
    (('adapter_model.safetensors',), 'has no weights: neither'),
    (('a.safetensors', 'b.safetensors'), 'has several weight files (a.safetensors, b.safetensors); give a'),
    ((SHARDS[1],), f'{SHARDS[0]} is missing; get the file again'),
    (('model.safetensors.index.json', SHARDS[0]), f'{SHARDS[1]} is missing; get the file again'),
])
def test_what_is_said_of_other_directories(tmp_path: Path, names: tuple[str, ...], reason: str) -> None:
    put(tmp_path, names)
    with pytest.raises(TinyChatError) as caught:
        weight_files(tmp_path, {})
    assert reason in str(caught.value)


def test_a_link_that_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / 'model.safetensors').symlink_to('../blobs/0123')
    with pytest.raises(TinyChatError, match=r'model.safetensors is a link to ../blobs/0123, which does not exist'):
        weight_files(tmp_path, {})


@pytest.mark.parametrize('name', ['model.safetensors', 'config.json', 'tokenizer.json', 'generation_config.json',
                                  'quantize_config.json', 'model.safetensors.index.json'])
def test_pipes_devices_and_directories_are_not_opened(tmp_path: Path, name: str) -> None:
    for number, make in enumerate((os.mkfifo, Path.mkdir, lambda path: path.symlink_to('/dev/zero'))):
        directory = save(tmp_path / str(number), tensors(torch.float16))
        (directory / 'model.safetensors').unlink()
        if name not in ('model.safetensors', 'model.safetensors.index.json'):
            (directory / name).unlink(missing_ok=True)
        make(directory / name)
        with pytest.raises(TinyChatError, match=rf'{name} is a (pipe or a device|directory)'):
            import_model(str(directory), tmp_path / 'out')


def test_a_pipe_or_a_device_as_the_source(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / 'pipe')
    for source in (tmp_path / 'pipe', Path('/dev/zero'), Path('/dev/null')):
        with pytest.raises(TinyChatError, match=f'{source} is a pipe or a device; only regular files are read'):
            import_model(str(source), tmp_path / 'out')
    with pytest.raises(TinyChatError, match='pipe is a pipe or a device'):
        import_model(str(save(tmp_path / 'theirs', tensors(torch.float16))), tmp_path / 'out', packed=tmp_path / 'pipe')


def test_a_small_file_that_is_not_small(tmp_path: Path) -> None:
    directory = save(tmp_path / 'theirs', tensors(torch.float16))
    os.truncate(directory / 'tokenizer.json', 1 << 40)
    with pytest.raises(TinyChatError, match=r'tokenizer.json has more than 256 MiB'):
        import_model(str(directory), tmp_path / 'out')


@pytest.mark.parametrize('same', [True, False])
def test_a_tensor_in_two_files(tmp_path: Path, same: bool) -> None:
    from safetensors.torch import load_file, save_file

    directory = save(tmp_path / 'theirs', tensors(torch.float16), shards=2)
    first, second = (directory / f'model-0000{i}-of-00002.safetensors' for i in (1, 2))
    name, tensor = next(iter(load_file(first).items()))
    save_file({**load_file(second), name: tensor if same else tensor + 1}, second)
    if same:
        import_model(str(directory), tmp_path / 'out')
    else:
        with pytest.raises(TinyChatError, match=f'two of its files have different tensors named {name}'):
            import_model(str(directory), tmp_path / 'out')


def test_the_directory_beside_is_named(tmp_path: Path) -> None:
    whole = save(tmp_path / 'models' / 'tiny', tensors(torch.float16))
    (whole / 'original').mkdir()
    hub = tmp_path / 'models--robots--tiny'
    save(hub / 'snapshots' / '0123', tensors(torch.float16))
    for directory, near in ((tmp_path / 'models', whole), (whole / 'original', whole),
                            (hub, hub / 'snapshots' / '0123')):
        with pytest.raises(TinyChatError, match=f'{directory} has no config.json; give {near}$'):
            import_model(str(directory), tmp_path / 'out')


@pytest.mark.parametrize('name', ['model.safetensors', 'config.json', 'model.safetensors.index.json'])
def test_one_file_of_a_directory(tmp_path: Path, name: str) -> None:
    directory = save(tmp_path / 'theirs', tensors(torch.float16), shards=2 if 'index' in name else 1)
    with pytest.raises(TinyChatError, match=f'{name} is one file of a model; give the directory that it is in'):
        import_model(str(directory / name), tmp_path / 'out')


def test_what_was_imported_is_not_imported_again(tmp_path: Path) -> None:
    import_model(str(save(tmp_path / 'theirs', tensors(torch.float16))), tmp_path / 'ours')
    with pytest.raises(TinyChatError, match='ours is already imported; use it directly'):
        import_model(str(tmp_path / 'ours'), tmp_path / 'again')


@pytest.mark.parametrize(('name', 'reason'), [
    ('adapter_config.json', "is an adapter .*; merge it into its model with peft's merge_and_unload"),
    ('tiny.gguf', r'has no config.json; give one of its GGUF files: .*/tiny.gguf$'),
    ('model.safetensors', "has no config.json; get the model's config.json too")])
def test_a_directory_that_is_no_model(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / 'theirs').mkdir()
    (tmp_path / 'theirs' / name).write_text('{}')
    with pytest.raises(TinyChatError, match=reason):
        import_model(str(tmp_path / 'theirs'), tmp_path / 'out')
