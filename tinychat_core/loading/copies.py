# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Shards that are copied through the ring: into memory of the host, or onto a device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tinychat_core._tinychat import WeightMemory
from tinychat_core.checkpoint.manifest import Shard
from tinychat_core.checkpoint.shard_file import ShardFile
from tinychat_core.errors import CheckpointError
from tinychat_core.loading.load_mode import Placement
from tinychat_core.loading.staging import HostMemory, Staging

Progress = Callable[[float], None]  # told the fraction copied, 0 .. 1; may raise to end it


def ignored(_: float) -> None:
    """Hear of progress."""


def host_copies(directory: Path, shards: Sequence[Shard], verify: bool, placement: Placement,
                progress: Progress) -> list[ShardFile]:
    """Return the shards as copies in anonymous memory; CheckpointError for what is damaged or cannot be read."""
    count, memory, copies = _counter(shards, progress), HostMemory(), []
    with Staging(memory, placement) as staging:
        for shard in shards:
            path, copy = directory / shard.file, memory.allocate(shard.bytes)
            staging.place(path, shard.bytes, shard.xxh3 if verify else [], copy, count)
            copies.append(ShardFile(path, copy=copy))
    return copies


def copy_to_device(memory: WeightMemory, files: Sequence[ShardFile], shards: Sequence[Shard], verify: bool,
                   placement: Placement, progress: Progress) -> None:
    """
    Copy mapped shards to where a device reads what their arrays point to; the mapping itself is not read.

    Raises CheckpointError for what is damaged, cannot be read or is not the file that was mapped.
    """
    count = _counter(shards, progress)
    with Staging(memory, placement) as staging:
        for file, shard in zip(files, shards, strict=True):
            if not file.is_here():
                raise CheckpointError(f'{file.path} has been changed while it was in use; load the model again')
            staging.place(file.path, shard.bytes, shard.xxh3 if verify else [], memory.allocate(file.mapping), count)
            if placement.drop:
                file.forget()  # its header has been read


def _counter(shards: Sequence[Shard], progress: Progress) -> Callable[[int], None]:
    """Return what is told bytes and tells the fraction of all."""
    total, done = sum(shard.bytes for shard in shards), 0

    def count(size: int) -> None:
        nonlocal done
        done += size
        progress(done / total)

    return count
