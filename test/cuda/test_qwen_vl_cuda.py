# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Models that see images of native size on the CUDA backend against the CPU's, its kernels in the SIMT shim."""
from __future__ import annotations

from pathlib import Path
from typing import Any

from cuda_on_host import LIBRARY
import numpy as np
import pytest
from vision import tiny_qwen as tiny
from vision.tiny_smolvlm import picture

from tinychat_core.engine import Engine
from tinychat_core.importers import import_model
from tinychat_core.vision.image import Image

pytestmark = pytest.mark.slow

BOUND = 2e-2  # of the largest number; fp16 activations stay below it


@pytest.fixture(autouse=True)
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    assert LIBRARY.is_file(), 'build the C++ tests first: make native-tests'
    monkeypatch.setenv('TINYCHAT_CUDA_LIBRARY', str(LIBRARY))


def numbers(checkpoint: Path, backend: str) -> list[Any]:
    """Return the embeddings of an image, and the logits after a prompt with it, and after each of some tokens."""
    engine = Engine.open(checkpoint, precision='W4A16', backend=backend, threads=1, max_seq_len=64)
    assert engine.backend == backend
    image, = engine.encode_images([Image(picture(130, 60))])
    ids = engine.tokenizer.encode_chat([{'role': 'user', 'content': 'a?', 'images': [image]}])
    cache = engine.new_cache()
    found = [image.rows, engine.prefill(cache, ids[:12]), engine.prefill(cache, ids[12:])]  # cut within the image
    found += [engine.decode(cache, token) for token in (65, 66, 67)]  # the last one replays a graph
    assert cache.next_position(cache.length) < cache.length
    engine.close()
    return found


@pytest.mark.parametrize('name', tiny.NAMES)
def test_images_of_native_size_equal_the_cpu(name: str, tmp_path: Path) -> None:
    source = tiny.save(tiny.model(name), name, tmp_path / 'model')
    import_model(str(source), tmp_path / 'ours', weights='W4', group_size=32)
    for found, expected in zip(*(numbers(tmp_path / 'ours', backend) for backend in ('cuda', 'cpu')), strict=True):
        assert np.abs(found - expected).max() < BOUND * np.abs(expected).max()
