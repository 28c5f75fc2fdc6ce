# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Checkpoints of every format version that was ever released: they load for ever.

test/golden/format-N is never made again; `small_checkpoint.py` has the formulas that its numbers come from.
"""
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small_checkpoint as small

from tinychat_core.checkpoint.manifest import FORMAT_VERSION, Manifest
from tinychat_core.engine import Engine
from tinychat_core.loading.reader import Checkpoint

GOLDEN = Path(__file__).resolve().parents[2] / 'golden'
VERSIONS = [GOLDEN / f'format-{version}' for version in range(1, FORMAT_VERSION + 1)]


@pytest.mark.parametrize('directory', VERSIONS, ids=lambda path: path.name)
def test_every_number_is_still_what_it_was(directory: Path) -> None:
    checkpoint = Checkpoint.open(directory)
    assert checkpoint.manifest.model == small.MODEL
    assert set(checkpoint.manifest.tensors) == {*small.MATRICES, *small.VECTORS}
    for name, (format_, *_) in small.MATRICES.items():
        linear = checkpoint.linear(name)
        assert linear.format == format_
        assert np.array_equal(linear.dequantized(), small.matrix(name).dequantized()), name
    for name in small.VECTORS:
        assert np.array_equal(checkpoint.array(name), small.vector(name)), name


@pytest.mark.parametrize('directory', VERSIONS, ids=lambda path: path.name)
def test_it_still_runs(directory: Path) -> None:
    engine = Engine.open(directory, threads=1)
    logits = engine.score(engine.tokenizer.encode('golden'))
    assert logits.shape == (6, 270) and np.isfinite(logits).all() and np.ptp(logits) > 0
    engine.close()


def test_what_is_written_today_is_the_golden_one(tmp_path: Path) -> None:
    """Who changes a byte of the format makes a new version of it."""
    made, golden = small.write(tmp_path / 'small'), VERSIONS[-1]
    assert sorted(path.name for path in made.iterdir()) == sorted(path.name for path in golden.iterdir())
    for path in made.iterdir():
        if path.name != 'tinychat.json':  # it names the release that wrote it
            assert path.read_bytes() == (golden / path.name).read_bytes()
    assert replace(Manifest.read(golden), generator='') == replace(Manifest.read(made), generator='')
