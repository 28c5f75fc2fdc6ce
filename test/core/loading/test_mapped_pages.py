# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What is asked of the system about a mapping, and what follows where it cannot do that."""
from __future__ import annotations

import mmap
import os
from pathlib import Path

from page_cache import cached_bytes, drop
import pytest

from tinychat_core.checkpoint.shard_file import ShardFile, write_shard
from tinychat_core.loading import mapped_pages

MIB = 1 << 20


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / 'file'
    path.write_bytes(os.urandom(8 * MIB))
    return path


class Watched(mmap.mmap):
    """A mapping that keeps what it was asked."""

    def madvise(self, option: int, start: int = 0, length: int | None = None) -> None:
        self.asked = (option, start, length)


def watched(file: Path) -> Watched:
    with open(file, 'rb') as opened:
        return Watched(opened.fileno(), 0, access=mmap.ACCESS_READ)


def test_a_part_is_in_memory_when_it_has_been_read_ahead(file: Path) -> None:
    drop(file)
    with open(file, 'rb') as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapping:
        assert cached_bytes(file) < MIB
        mapped_pages.read_ahead(mapping, 2 * MIB, 4 * MIB)
    assert cached_bytes(file) >= 4 * MIB


def test_an_older_system_begins_to_read(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped_pages, '_POPULATE_READ', 12345)
    mapping = watched(file)
    mapped_pages.read_ahead(mapping, 2 * MIB, 4 * MIB)
    assert mapping.asked == (mmap.MADV_WILLNEED, 2 * MIB, 4 * MIB)


def test_a_file_cut_short_is_left_to_who_reads_it(file: Path) -> None:
    with open(file, 'rb') as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapping:
        os.truncate(file, MIB)
        mapped_pages.read_ahead(mapping, 2 * MIB, 4 * MIB)


def test_what_is_read_in_place_is_wanted_in_huge_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mmap, 'mmap', Watched)
    write_shard(tmp_path / 'shard', {})
    assert ShardFile(tmp_path / 'shard', prepare=mapped_pages.prefer_huge).mapping.asked[0] == mmap.MADV_HUGEPAGE


def test_a_system_without_huge_pages_reads_small_ones(file: Path) -> None:
    class Refusing(mmap.mmap):
        def madvise(self, *_: int) -> None:
            raise OSError(22, 'Invalid argument')

    with open(file, 'rb') as opened:
        mapped_pages.prefer_huge(Refusing(opened.fileno(), 0, access=mmap.ACCESS_READ))
