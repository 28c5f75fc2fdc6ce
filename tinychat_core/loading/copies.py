# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Copy shards through the staging ring, into host memory or to a device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tinychat_core._tinychat import WeightMemory
from tinychat_core.checkpoint.manifest import Shard
from tinychat_core.checkpoint.shard_file import ShardFile
from tinychat_core.errors import CheckpointError
from tinychat_core.loading.load_mode import LoadPlan
from tinychat_core.loading.staging import HostMemory, Staging

Progress = Callable[[float], None]  # receives the fraction done, 0 .. 1; may raise an exception to stop


def ignore_progress(_: float) -> None:
    """Do nothing with a fraction."""


def host_copies(directory: Path, shards: Sequence[Shard], verify: bool, plan: LoadPlan,
                progress: Progress) -> list[ShardFile]:
    """Return copies of the shards in anonymous memory; CheckpointError for a damaged or unreadable file."""
    count, memory, copies = _byte_counter(shards, progress), HostMemory(), []
    with Staging(memory, plan) as staging:
        for shard in shards:
            path, copy = directory / shard.file, memory.allocate(shard.bytes)
            staging.copy_file(path, shard.bytes, shard.xxh3 if verify else [], copy, count)
            copies.append(ShardFile(path, copy=copy))
    return copies


def copy_to_device(memory: WeightMemory, files: Sequence[ShardFile], shards: Sequence[Shard], verify: bool,
                   plan: LoadPlan, progress: Progress) -> None:
    """
    Copy mapped shards to the device, which translates pointers into the mapping; the mapping itself is not read.

    Raises CheckpointError for a file that is damaged, unreadable or no longer the one that was mapped.
    """
    count = _byte_counter(shards, progress)
    with Staging(memory, plan) as staging:
        for file, shard in zip(files, shards, strict=True):
            if not file.is_here():
                raise CheckpointError(f'{file.path} has been changed while it was in use; load the model again')
            staging.copy_file(file.path, shard.bytes, shard.xxh3 if verify else [], memory.allocate(file.mapping),
                              count)
            if plan.drop_cache:
                file.forget()  # its header has been read


def _byte_counter(shards: Sequence[Shard], progress: Progress) -> Callable[[int], None]:
    """Return a function that receives bytes and reports the fraction of all shards."""
    total, done = sum(shard.bytes for shard in shards), 0

    def count(size: int) -> None:
        nonlocal done
        done += size
        progress(done / total)

    return count
