# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""`tinychat split`: other files, the same numbers."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import small_checkpoint as small

from tinychat_core.checkpoint.linear import Linear
from tinychat_core.checkpoint.manifest import Manifest
from tinychat_core.cli import main
from tinychat_core.loading.reader import Checkpoint


@pytest.fixture(scope='module')
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.write(tmp_path_factory.mktemp('split') / 'small')


def same_numbers(a: Path, b: Path) -> bool:
    one, other = Checkpoint.open(a), Checkpoint.open(b)
    for name in one.manifest.tensors:
        if name in small.VECTORS:
            if not np.array_equal(one.array(name), other.array(name)):
                return False
        else:
            first, second = one.linear(name), other.linear(name)
            assert isinstance(first, Linear) and first.format == second.format
            if not all(np.array_equal(part, second.arrays()[key]) for key, part in first.arrays().items()):
                return False
    return one.manifest.tensors.keys() == other.manifest.tensors.keys()


@pytest.mark.parametrize('limit', [40_000, 64_000, 200_000])
def test_no_file_is_larger_than_asked_for(source: Path, tmp_path: Path, limit: int) -> None:
    assert main(['split', str(source), str(tmp_path / 'out'), '--max-shard-size', str(limit)]) == 0
    files = list((tmp_path / 'out').glob('*.safetensors'))
    assert max(file.stat().st_size for file in files) <= limit
    assert len(files) == {40_000: 5, 64_000: 3, 200_000: 1}[limit]
    assert same_numbers(source, tmp_path / 'out')


def test_a_decoder_layer_may_span_files(source: Path, tmp_path: Path) -> None:
    assert main(['split', str(source), str(tmp_path / 'out'), '--max-shard-size', '40kB']) == 0
    tensors = Manifest.read(tmp_path / 'out').tensors
    assert len({entry.shard for name, entry in tensors.items() if name.startswith('layers.1.')}) > 1


def test_the_layout_there_and_back(source: Path, tmp_path: Path) -> None:
    assert main(['split', str(source), str(tmp_path / 'rows'), '--layout', 'rows']) == 0
    layouts = {entry.layout for entry in Manifest.read(tmp_path / 'rows').tensors.values() if entry.format != 'f32'}
    assert layouts == {'rows'}
    assert main(['split', str(tmp_path / 'rows'), str(tmp_path / 'back')]) == 0
    for shard in Manifest.read(source).shards:
        assert (source / shard.file).read_bytes() == (tmp_path / 'back' / shard.file).read_bytes()


def test_what_belongs_to_the_model_comes_along(source: Path, tmp_path: Path) -> None:
    assert main(['split', str(source), str(tmp_path / 'out')]) == 0
    before, after = Manifest.read(source), Manifest.read(tmp_path / 'out')
    assert (before.model, before.family, before.files) == (after.model, after.family, after.files)
    assert after.source['file'] == 'formulas'


def test_a_matrix_that_is_larger_than_a_file(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['split', str(source), str(tmp_path / 'out'), '--max-shard-size', '16kB']) == 2
    assert 'use a larger --max-shard-size' in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_damaged_source_is_not_written_again(source: Path, tmp_path: Path,
                                               capsys: pytest.CaptureFixture[str]) -> None:
    damaged = small.write(tmp_path / 'damaged')
    shard = damaged / 'model-00003-of-00004.safetensors'
    content = bytearray(shard.read_bytes())
    content[-100] ^= 1
    shard.write_bytes(content)
    assert main(['split', str(damaged), str(tmp_path / 'out')]) == 2
    assert 'is damaged' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()
