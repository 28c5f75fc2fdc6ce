# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What a load and 32 tokens take of memory, in a process of their own, on random weights of a known shape."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import json
from pathlib import Path
import subprocess
import sys
import tempfile
from typing import Any

from page_cache import cached_bytes
import pytest

ROOT = Path(__file__).resolve().parents[3]
BENCHMARKS = ROOT / 'benchmarks'
OTHER = 100e6  # bytes: the interpreter, its libraries, the tokenizer, buffers, the ring


@contextmanager
def written(shape: str) -> Iterator[Path]:
    """Provide a checkpoint on a disk: what lies in a file system of memory is always cached."""
    (ROOT / 'build').mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / 'build') as directory:
        subprocess.run([sys.executable, BENCHMARKS / 'random_checkpoint.py', shape, f'{directory}/model'], check=True)
        yield Path(directory) / 'model'


@pytest.fixture(scope='module', params=[
    'qwen2.5-0.5b',  # 0.3 GB: a second copy of it does not fit into OTHER
    pytest.param('llama-2-7b', marks=pytest.mark.large)])
def checkpoint(request: pytest.FixtureRequest) -> Iterator[Path]:
    with written(request.param) as path:
        yield path


def measured(runtime: str, checkpoint: Path, *prefix: str) -> dict[str, Any]:
    done = subprocess.run([*prefix, sys.executable, BENCHMARKS / 'loading_run.py', runtime, checkpoint, '512'],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def test_the_mapping_is_the_only_copy(checkpoint: Path) -> None:
    figures = measured('mapped', checkpoint)
    assert figures['weights'] > 3 * OTHER
    assert figures['peak_anon'] <= figures['kv_cache'] + OTHER
    assert figures['major_faults_second_half'] == 0


def test_an_own_copy_is_the_only_copy(checkpoint: Path) -> None:
    figures = measured('staged', checkpoint)
    assert figures['weights'] < figures['peak_anon'] <= 1.03 * figures['weights'] + figures['kv_cache'] + OTHER
    assert cached_bytes(*checkpoint.glob('*.safetensors')) <= 64 << 20
    assert figures['major_faults_second_half'] == 0


@pytest.mark.large
def test_thirteen_billions_in_a_process_of_less_than_nine_gigabytes() -> None:
    with written('llama-2-13b') as path:
        figures = measured('mapped', path, 'prlimit', '--as=8500000000')
    assert figures['peak_anon'] <= figures['kv_cache'] + OTHER
