# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A checkpoint as it lies on the disk, and as it is read again."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
import small_checkpoint as small
import xxhash

from tinychat_core.checkpoint.layouts import LAYOUTS
from tinychat_core.checkpoint.manifest import Manifest
from tinychat_core.checkpoint.shard_file import write_shard
from tinychat_core.checkpoint.writer import CheckpointWriter
from tinychat_core.engine import Engine
from tinychat_core.errors import CheckpointError
from tinychat_core.loading.reader import Checkpoint


@pytest.fixture(scope='module')
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.write(tmp_path_factory.mktemp('files') / 'small')


def headers(directory: Path) -> dict[str, tuple[int, dict[str, Any]]]:
    """Return each shard's data offset and header, read by hand."""
    found = {}
    for path in directory.glob('*.safetensors'):
        data = path.read_bytes()
        length = int.from_bytes(data[:8], 'little')
        found[path.name] = (8 + length, json.loads(data[8:8 + length]))
    return found


def without_pads(header: dict[str, Any]) -> dict[str, Any]:
    return {name: entry for name, entry in header.items() if not name.startswith('_pad.')}


@pytest.mark.parametrize('layout', [None, *LAYOUTS])
def test_what_was_written_is_read(tmp_path: Path, layout: str | None) -> None:
    checkpoint = Checkpoint.open(small.write(tmp_path / 'small', layout))
    assert set(checkpoint.manifest.tensors) == {*small.MATRICES, *small.VECTORS}
    for name in small.MATRICES:
        linear, expected = checkpoint.linear(name), small.matrix(name)
        assert np.array_equal(linear.dequantized(), expected.dequantized()), name
        usual = 'r16k1' if expected.format in ('f16', 'bf16') else 'r16k4'
        assert checkpoint.manifest.tensors[name].layout == (layout or usual) and linear.layout == usual
    for name in small.VECTORS:
        assert np.array_equal(checkpoint.array(name), small.vector(name))


def test_safetensors_reads_every_shard(directory: Path) -> None:
    pytest.importorskip('torch')  # numpy has no bfloat16
    names: set[str] = set()
    for path in sorted(directory.glob('*.safetensors')):
        with safe_open(path, framework='pt') as file:
            for name in file.keys():  # noqa: SIM118 (not a dictionary)
                assert file.get_tensor(name).numel() > 0
                names.add(name)
    assert {'embedding.weight', 'layers.0.attn.qkv.qweight', 'layers.0.attn.qkv.mins', 'norm.weight',
            'layers.0.attn.qkv.bias', 'layers.0.attn.o.zeros', 'layers.0.mlp.down.scales', 'head.qweight'} <= names


def test_data_begins_at_a_page_and_every_tensor_at_64_bytes(directory: Path) -> None:
    for data, header in headers(directory).values():
        assert data % 4096 == 0
        assert all(entry['data_offsets'][0] % 64 == 0 for entry in without_pads(header).values())


def test_a_hole_is_filled_by_a_tensor_of_its_own(tmp_path: Path) -> None:
    """The format allows none; 5 floats are 20 bytes, and 44 are missing to 64."""
    write_shard(tmp_path / 'x.safetensors', {'a': np.ones(5, np.float32), 'b': np.ones(16, np.float32)})
    ((_, header),) = headers(tmp_path).values()
    assert {name: entry['data_offsets'] for name, entry in header.items()} == {
        'a': [0, 20], '_pad.1': [20, 64], 'b': [64, 128]}
    with safe_open(tmp_path / 'x.safetensors', framework='np') as file:
        assert file.get_tensor('b').sum() == 16


def parts_of(directory: Path) -> list[set[str]]:
    """Return what each shard has: ends by name, decoder layers by number."""
    return [{name.partition('.')[0] if name[0] != 'l' else name[:8] for name in without_pads(header)}
            for _, (_, header) in sorted(headers(directory).items())]


def test_a_shard_has_whole_decoder_layers(directory: Path) -> None:
    assert parts_of(directory) == [{'embedding'}, {'layers.0'}, {'layers.1'}, {'head', 'norm'}]


def test_small_parts_share_a_shard(tmp_path: Path, directory: Path) -> None:
    """Up to the size that was given, in their order; each tensor has the same bytes as in a shard of its own."""
    sizes = [shard.bytes for shard in Manifest.read(directory).shards]
    together = small.write(tmp_path / 'together', shard_size=sizes[0] + sizes[1])
    assert parts_of(together)[0] == {'embedding', 'layers.0'} and len(parts_of(together)) > 1
    assert set().union(*parts_of(together)) == set().union(*parts_of(directory))
    apart, one = Checkpoint.open(directory), Checkpoint.open(together)
    for name, entry in apart.manifest.tensors.items():
        if entry.format == 'f32':
            assert one.array(name).tobytes() == apart.array(name).tobytes()
        else:
            ours, theirs = one.stored_linear(name).arrays(), apart.stored_linear(name).arrays()
            assert {part: array.tobytes() for part, array in ours.items()} == {
                part: array.tobytes() for part, array in theirs.items()}


def test_the_manifest_has_the_checksum_of_every_mebibyte(tmp_path: Path) -> None:
    """A shard of more than one, from a wide embedding."""
    values = np.random.default_rng(0).normal(size=(9000, 64)).astype(np.float16)
    with CheckpointWriter(tmp_path / 'wide', 2, {}) as writer:
        writer.add(lambda: {'embedding': small.Linear('f16', 9000, 64, 0, None, values)})
        writer.add(lambda: {'layers.0.attn.qkv': small.matrix('layers.0.attn.qkv')})
        writer.finish(family='llama', model=small.MODEL, files={})
    shard = Manifest.read(tmp_path / 'wide').shards[0]
    data = (tmp_path / 'wide' / shard.file).read_bytes()
    assert shard.bytes == len(data) > 1 << 20
    pieces = [data[i:i + (1 << 20)] for i in range(0, len(data), 1 << 20)]
    assert shard.xxh3 == [xxhash.xxh3_64_hexdigest(piece) for piece in pieces]


def test_another_layout_is_reordered_and_the_log_says_so_once(tmp_path: Path, directory: Path,
                                                              core_log: pytest.LogCaptureFixture) -> None:
    tokens = list(range(40))
    logits = []
    for path in (directory, small.write(tmp_path / 'rows', 'rows')):
        engine = Engine.open(path, threads=1)
        logits.append(engine.score(tokens))
        engine.close()
    assert np.array_equal(*logits)
    # A build with CUDA also tells that there is no driver.
    (message,) = [record.getMessage() for record in core_log.records
                  if record.levelname == 'WARNING' and record.name == 'tinychat_core.loading.reader']
    assert 'rows has the layout rows; its weights are converted' in message


def test_arrays_are_views_of_the_mapping(directory: Path) -> None:
    linear = Checkpoint.open(directory).linear('layers.0.attn.qkv')
    for array in linear.arrays().values():
        assert not array.flags.owndata and not array.flags.writeable
        assert array.__array_interface__['data'][0] % 64 == 0


def test_arrays_outlive_the_checkpoint(directory: Path) -> None:
    checkpoint = Checkpoint.open(directory)
    linear = checkpoint.linear('head')
    checkpoint.close()
    assert np.array_equal(linear.dequantized(), small.matrix('head').dequantized())


def test_progress_reaches_the_whole(directory: Path) -> None:
    told: list[float] = []
    Checkpoint.open(directory, progress=told.append)
    assert told == sorted(told) and told[-1] == 1.0


def test_what_progress_raises_ends_the_opening(directory: Path) -> None:
    def cancel(fraction: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Checkpoint.open(directory, progress=cancel)


def test_a_tensor_that_is_not_there(directory: Path) -> None:
    checkpoint = Checkpoint.open(directory)
    with pytest.raises(CheckpointError, match=r'has no tensor layers\.7\.attn\.o'):
        checkpoint.linear('layers.7.attn.o')


def test_the_bytes_of_the_weights_are_those_of_the_tensors(directory: Path) -> None:
    spans = [entry['data_offsets'] for _, header in headers(directory).values()
             for entry in without_pads(header).values()]
    assert Manifest.read(directory).weights_bytes == sum(end - begin for begin, end in spans)


def test_a_read_only_directory_is_enough(directory: Path) -> None:
    def times() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in [directory, *directory.iterdir()]}

    modes, before = {path: path.stat().st_mode for path in times()}, times()
    for path in modes:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        Checkpoint.open(directory)
        assert times() == before  # root may write there all the same
    finally:
        for path, mode in modes.items():
            path.chmod(mode)
