# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A checkpoint that is missing, damaged or too new: one clear line, never a crash, never wrong weights."""
from __future__ import annotations

from collections.abc import Callable
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_checkpoint as small

from tinychat_core.checkpoint.checksums import checksum
from tinychat_core.checkpoint.manifest import Manifest
from tinychat_core.checkpoint.shard_file import ShardFile
from tinychat_core.engine import Engine
from tinychat_core.errors import CheckpointError, TinyChatError
from tinychat_core.loading.reader import Checkpoint


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return small.write(tmp_path / 'small')


def refused(path: Path, **options: Any) -> str:
    with pytest.raises(CheckpointError) as caught:
        Checkpoint.open(path, **options)
    assert '\n' not in str(caught.value)
    return str(caught.value)


def edited(directory: Path, change: Callable[[dict[str, Any]], Any], seal: bool = True) -> Path:
    """Change tinychat.json; with `seal` its checksum is right again."""
    path = directory / 'tinychat.json'
    content = json.loads(path.read_text())
    del content['checksum']
    change(content)
    text = json.dumps(content, sort_keys=True, separators=(',', ':')).encode()
    path.write_text(json.dumps({**content, 'checksum': checksum(text) if seal else '0' * 16}))
    return directory


def test_no_directory(tmp_path: Path) -> None:
    assert 'is not a directory; give the path of a split checkpoint' in refused(tmp_path / 'nowhere')


def test_a_file_instead_of_a_directory(directory: Path) -> None:
    assert 'tinychat.json is not a directory' in refused(directory / 'tinychat.json')


def test_an_empty_directory(tmp_path: Path) -> None:
    assert 'is not a split checkpoint (tinychat.json is missing)' in refused(tmp_path)


@pytest.mark.parametrize('verify', ['full', 'size'])
def test_a_missing_shard(directory: Path, verify: bool) -> None:
    (directory / 'model-00002-of-00004.safetensors').unlink()
    assert 'model-00002-of-00004.safetensors is missing' in refused(directory, verify=verify)


@pytest.mark.parametrize('verify', ['full', 'size'])
@pytest.mark.parametrize('length', [0, 7, 4096, 30000])
def test_a_truncated_shard(directory: Path, length: int, verify: bool) -> None:
    shard = directory / 'model-00001-of-00004.safetensors'
    whole = shard.read_bytes()
    shard.write_bytes(whole[:length])
    message = refused(directory, verify=verify)
    assert f'model-00001-of-00004.safetensors is damaged ({length} bytes, not {len(whole)})' in message


def test_a_flipped_bit_in_any_file_is_noticed(directory: Path) -> None:
    random = np.random.default_rng(0)
    for path in directory.iterdir():
        whole = path.read_bytes()
        for at in (0, *random.integers(0, len(whole), 25).tolist(), len(whole) - 1):
            data = bytearray(whole)
            data[at] ^= 1 << int(random.integers(0, 8))
            if path.name == 'tinychat.json' and _same_json(data, whole):
                continue  # between the values, one blank for another
            path.write_bytes(data)
            assert 'small' in refused(directory)
        path.write_bytes(whole)
    Checkpoint.open(directory)


def _same_json(data: bytes, whole: bytes) -> bool:
    try:
        return bool(json.loads(data) == json.loads(whole))
    except ValueError:
        return False


def test_a_flipped_bit_in_a_shard_is_named_with_its_place(tmp_path: Path) -> None:
    values = np.zeros((9000, 64), np.float16)
    with small.CheckpointWriter(tmp_path / 'wide', 2, {}, shard_size=0) as writer:
        writer.add(lambda: {'embedding': small.Linear('f16', 9000, 64, 0, None, values)})
        writer.add(lambda: {'layers.0.attn.qkv': small.matrix('layers.0.attn.qkv')})
        writer.finish(family='llama', model=small.MODEL, files={})
    shard = tmp_path / 'wide' / 'model-00001-of-00002.safetensors'
    data = bytearray(shard.read_bytes())
    data[(1 << 20) + 5000] ^= 16
    shard.write_bytes(data)
    message = refused(tmp_path / 'wide')
    assert f'{shard.name} is damaged (the checksum of the MiB at offset 1048576 differs)' in message
    Checkpoint.open(tmp_path / 'wide', verify='size')  # as asked for


def test_a_shard_of_another_model(directory: Path) -> None:
    """Of the same size, so that only the checksums tell."""
    first, second = (directory / f'model-0000{i}-of-00004.safetensors' for i in (2, 3))
    data = bytearray(first.read_bytes())
    first.write_bytes(data[:-16] + bytes(16))
    assert second.exists() and 'model-00002-of-00004.safetensors is damaged' in refused(directory)


@pytest.mark.parametrize('name', ['config.json', 'tokenizer.json', 'tokenizer_config.json'])
def test_a_small_file_that_is_missing_or_changed(directory: Path, name: str) -> None:
    (directory / name).write_bytes((directory / name).read_bytes() + b' ')
    assert f'{name} has been changed' in refused(directory)
    (directory / name).unlink()
    assert f'{name} is missing' in refused(directory)


@pytest.mark.parametrize('seal', [True, False])
def test_a_newer_format_version(directory: Path, seal: bool) -> None:
    edited(directory, lambda content: content.update(format_version=2, surprise=[]), seal)
    message = refused(directory)
    assert 'has format version 2, newer than the 1 that this release reads; update tinychat' in message


def test_a_description_of_a_newer_release(directory: Path) -> None:
    edited(directory, lambda content: content['model'].update(warp_factor=9))
    assert 'unknown field `warp_factor`; update tinychat' in refused(directory)


def test_a_tensor_of_a_newer_release(directory: Path) -> None:
    entry = {'shard': 1, 'format': 'f32', 'rows': 1, 'cols': 64, 'group_size': 0, 'layout': 'rows'}
    edited(directory, lambda content: content['tensors'].update({'layers.0.attn.qkv.permutation': entry}))
    assert 'has the tensor layers.0.attn.qkv.permutation, which this release does not know' in refused(directory)


def test_an_edited_manifest(directory: Path) -> None:
    edited(directory, lambda content: content['model'].update(heads=4), seal=False)
    assert 'tinychat.json is damaged (its checksum differs)' in refused(directory)


@pytest.mark.parametrize(('change', 'reason'), [
    (lambda c: c.pop('tensors'), 'missing required field `tensors`'),
    (lambda c: c.update(family=5), r'Expected `str`, got `int` - at `$.family`'),
    (lambda c: c.update(group_size=-1), '$.group_size'),
    (lambda c: c.update(group_size=True), '$.group_size'),
    (lambda c: c.update(tensors=[]), '$.tensors'),
    (lambda c: c.update(shards={}), '$.shards'),
    (lambda c: c.update(shards=[5]), '$.shards[0]'),
    (lambda c: c.update(files=['config.json']), '$.files'),
    (lambda c: c['shards'][0].update(xxh3='0' * 16), '$.shards[0].xxh3'),
    (lambda c: c['shards'][0].update(bytes=2**70), '$.shards[0].bytes'),
    (lambda c: c['shards'][0].update(colour='red'), "Shard has no field 'colour'"),
    (lambda c: c['shards'][0].update(file='..'), 'is not the name of a file in it'),
    (lambda c: c['tensors']['head'].update(scale=1), "TensorEntry has no field 'scale'"),
    (lambda c: c['tensors']['head'].update(rows=2**62, cols=2**62), 'head is larger than its shard'),
    (lambda c: c.update(format_version='1'), "format version is '1'"),
    (lambda c: c.update(format_version=0), 'format version is 0'),
    (lambda c: c.update(weights='W3'), 'at `$.weights`'),
    (lambda c: c.update(extra=1), 'extra'),
    (lambda c: c['tensors']['head'].update(shard=4), 'head is in a shard that is not listed'),
    (lambda c: c['tensors']['head'].update(shard=-1), '.shard'),
    (lambda c: c['tensors']['head'].update(format='w5'), 'the weight format w5 is unknown'),
    (lambda c: c['tensors']['head'].update(layout='r8'), 'the layout r8 is unknown'),
    (lambda c: c['tensors']['head'].update(cols=33), '33'),
    (lambda c: c['tensors']['norm.weight'].update(cols=0), 'norm.weight is empty'),
    (lambda c: c['shards'][0].update(file='../../etc/passwd'), 'is not the name of a file in it'),
    (lambda c: c['files'].update({'../x': '0' * 16}), 'is not the name of a file in it'),
    (lambda c: c['model'].pop('heads'), 'missing required field `heads`'),
    (lambda c: c['model'].update(heads='nine'), '$.heads'),
    (lambda c: c['model'].update(heads=True), '$.heads'),
    (lambda c: c['model'].update(layers=0), 'layers is 0'),
    (lambda c: c['model']['rope'].pop('theta'), 'missing required field `theta` - at `$.rope`'),
])
def test_a_manifest_that_contradicts_itself(directory: Path, change: Callable[[dict[str, Any]], Any],
                                            reason: str) -> None:
    assert reason in refused(edited(directory, change))


@pytest.mark.parametrize('text', [b'', b'null', b'[]', b'7', b'{"format_version": 1', b'\xff\xfe',
                                  b'[' * 100000])
def test_a_manifest_that_is_none(directory: Path, text: bytes) -> None:
    (directory / 'tinychat.json').write_bytes(text)
    assert 'tinychat.json is damaged' in refused(directory)


def test_a_manifest_that_cannot_be_read(directory: Path) -> None:
    (directory / 'tinychat.json').unlink()
    (directory / 'tinychat.json').mkdir()
    assert 'is a directory instead of a file' in refused(directory)


def test_tensors_that_are_not_what_the_manifest_says(directory: Path) -> None:
    """Sealed, so only the sizes tell."""
    edited(directory, lambda content: content['tensors']['head'].update(rows=200))
    with pytest.raises(CheckpointError, match=r'head\.qweight does not fit the format w8g'):
        Checkpoint.open(directory).linear('head')


def test_a_vector_that_is_not_what_the_manifest_says(directory: Path) -> None:
    edited(directory, lambda content: content['tensors']['norm.weight'].update(cols=63))
    with pytest.raises(CheckpointError, match=r'norm\.weight is not a vector of 63'):
        Checkpoint.open(directory).array('norm.weight')


@pytest.mark.parametrize('header', [
    b'', b'{', b'[]', b'"text"', b'{"a": 7}', b'{"a": {"dtype": "F32", "shape": [2]}}', b'[' * 50000])
def test_a_header_that_is_none(tmp_path: Path, header: bytes) -> None:
    (tmp_path / 'x.safetensors').write_bytes(len(header).to_bytes(8, 'little') + header)
    with pytest.raises(CheckpointError, match='its header is not readable'):
        ShardFile(tmp_path / 'x.safetensors')


@pytest.mark.parametrize('entry', [
    {'dtype': 'F32', 'shape': [4], 'data_offsets': [0, 8]},
    {'dtype': 'F32', 'shape': [4], 'data_offsets': [-16, 0]},
    {'dtype': 'F32', 'shape': [400], 'data_offsets': [0, 1600]},
    {'dtype': 'Q9', 'shape': [4], 'data_offsets': [0, 16]},
    {'dtype': 'F32', 'shape': [-4], 'data_offsets': [16, 0]},
    {'dtype': 'F32', 'shape': [4], 'data_offsets': [1, '9']}])
def test_a_tensor_that_lies_elsewhere(tmp_path: Path, entry: dict[str, Any]) -> None:
    header = json.dumps({'a': entry}).encode()
    (tmp_path / 'x.safetensors').write_bytes(len(header).to_bytes(8, 'little') + header + bytes(16))
    with pytest.raises(CheckpointError, match=r'x\.safetensors is damaged'):
        ShardFile(tmp_path / 'x.safetensors').array('a')


def test_the_manifest_alone_is_enough_to_tell(directory: Path) -> None:
    for shard in directory.glob('*.safetensors'):
        shard.unlink()
    assert Manifest.read(directory).model == small.MODEL


@pytest.mark.parametrize('name', ['tinychat.json', 'tokenizer.json', 'config.json', 'model-00001-of-00004.safetensors'])
def test_a_pipe_in_place_of_a_file_is_not_waited_for(directory: Path, name: str) -> None:
    (directory / name).unlink()
    os.mkfifo(directory / name)
    with pytest.raises(TinyChatError, match=name):
        Engine.open(directory)


def test_a_device_in_place_of_a_file_is_not_read(directory: Path) -> None:
    (directory / 'tinychat.json').unlink()
    (directory / 'tinychat.json').symlink_to('/dev/zero')
    assert 'tinychat.json is a pipe or a device' in refused(directory)


def test_a_manifest_of_gigabytes_is_not_read(directory: Path) -> None:
    os.truncate(directory / 'tinychat.json', 1 << 40)
    assert 'tinychat.json has more than 256 MiB' in refused(directory)
