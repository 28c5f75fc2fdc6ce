# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Files that go through the ring into a destination: whole, verified, or one clear error."""
from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinychat_core.checkpoint.checksums import checksums
from tinychat_core.errors import CheckpointError
from tinychat_core.loading import staging as staging_module
from tinychat_core.loading.load_mode import LoadMode, LoadPlan, RING
from tinychat_core.loading.staging import HostMemory, reads_directly, Staging

CHUNK = 1 << 20
BUFFERED = LoadPlan(LoadMode.STAGED, 'a test', drop_cache=True)
DIRECT = LoadPlan(LoadMode.STAGED, 'a test', direct=True)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging_module, 'CHUNK', CHUNK)


def written(path: Path, size: int) -> bytes:
    content = np.random.default_rng(size).bytes(size)
    path.write_bytes(content)
    return content


@pytest.mark.parametrize('size', [1, 4096, 5000, CHUNK, CHUNK + 1, (RING + 1) * CHUNK + 12345])
@pytest.mark.parametrize('plan', [BUFFERED, DIRECT])
def test_a_file_arrives_whole(tmp_path: Path, size: int, plan: LoadPlan) -> None:
    content = written(tmp_path / 'file', size)
    if not reads_directly(tmp_path / 'file'):
        plan = BUFFERED  # a test directory in memory
    told: list[int] = []
    with Staging(HostMemory(), plan) as staging:
        handle = HostMemory().allocate(size)
        staging.copy_file(tmp_path / 'file', size, checksums(memoryview(content)), handle, told.append)
    assert handle[:] == content
    assert sum(told) == size and max(told) <= CHUNK


class LateMemory(HostMemory):
    """Copies only when it is waited for, as a device may: a buffer that was used again too early shows."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[tuple[Any, int, memoryview]] = []

    def copy(self, handle: Any, offset: int, chunk: memoryview) -> None:
        self.waiting.append((handle, offset, chunk))

    def synchronize(self) -> None:
        for copy in self.waiting:
            super().copy(*copy)
        super().synchronize()
        self.waiting = []


def test_a_buffer_is_left_alone_until_it_is_copied(tmp_path: Path) -> None:
    content = written(tmp_path / 'file', 6 * CHUNK)
    with Staging(LateMemory(), BUFFERED) as staging:
        handle = HostMemory().allocate(len(content))
        staging.copy_file(tmp_path / 'file', len(content), [], handle)
        assert handle[:] == content


def test_a_bit_that_flipped_is_found_on_the_way(tmp_path: Path) -> None:
    content = written(tmp_path / 'file', 3 << 20)
    sums = checksums(memoryview(content))
    (tmp_path / 'file').write_bytes(content[:2 << 20] + bytes([content[2 << 20] ^ 1]) + content[(2 << 20) + 1:])
    with Staging(HostMemory(), BUFFERED) as staging, pytest.raises(CheckpointError, match='at offset 2097152 differs'):
        staging.copy_file(tmp_path / 'file', len(content), sums, HostMemory().allocate(len(content)))


@pytest.mark.parametrize('size', [0, 4096, CHUNK])
def test_a_file_that_ends_too_early(tmp_path: Path, size: int) -> None:
    written(tmp_path / 'file', size)
    with Staging(HostMemory(), BUFFERED) as staging, pytest.raises(CheckpointError, match='ends before its'):
        staging.copy_file(tmp_path / 'file', CHUNK + 4096, [], HostMemory().allocate(CHUNK + 4096))


def test_a_read_that_fails(tmp_path: Path) -> None:
    written(tmp_path / 'file', 4 * CHUNK)

    def read(file: int, buffers: list[memoryview], offset: int) -> int:
        if offset >= CHUNK:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return os.preadv(file, buffers, offset)

    with Staging(HostMemory(), BUFFERED, read) as staging, \
            pytest.raises(CheckpointError, match=r'cannot read .*file: Input/output error'):
        staging.copy_file(tmp_path / 'file', 4 * CHUNK, [], HostMemory().allocate(4 * CHUNK))


def test_short_reads_are_taken_up(tmp_path: Path) -> None:
    content = written(tmp_path / 'file', 300_000)

    def read(file: int, buffers: list[memoryview], offset: int) -> int:
        return os.preadv(file, [buffers[0][:8192]], offset)

    with Staging(HostMemory(), BUFFERED, read) as staging:
        handle = HostMemory().allocate(len(content))
        staging.copy_file(tmp_path / 'file', len(content), checksums(memoryview(content)), handle)
    assert handle[:] == content


def test_it_can_be_interrupted(tmp_path: Path) -> None:
    written(tmp_path / 'file', 4 * CHUNK)

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    before = len(os.listdir('/proc/self/fd'))
    with pytest.raises(KeyboardInterrupt), Staging(HostMemory(), BUFFERED) as staging:
        staging.copy_file(tmp_path / 'file', 4 * CHUNK, [], HostMemory().allocate(4 * CHUNK), stop)
    assert len(os.listdir('/proc/self/fd')) == before


def test_no_file(tmp_path: Path) -> None:
    with Staging(HostMemory(), DIRECT) as staging, pytest.raises(CheckpointError, match='No such file'):
        staging.copy_file(tmp_path / 'nowhere', 4096, [], HostMemory().allocate(4096))
