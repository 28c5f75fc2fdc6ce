# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Verify the checksums of mapped files on several threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
import mmap
from pathlib import Path

from tinychat_core.checkpoint.checksums import damaged, differing
from tinychat_core.loading.mapped_pages import read_ahead

VERIFY = ('full', 'size')  # what `Checkpoint.open` compares
_CHUNK = 16 << 20          # bytes that a thread verifies at a time


def verify_files(files: Sequence[tuple[Path, mmap.mmap, Sequence[str]]], progress: Callable[[float], None]) -> None:
    """
    Compare every MiB of the mapped files with its checksum, on two threads: hashing releases the GIL.

    A third thread reads ahead, so that a cold disk always has a long request pending. `progress` receives the fraction
    done and may raise an exception to stop. Raises CheckpointError, naming the file and the offset.
    """
    chunks = [(path, mapping, offset, min(_CHUNK, len(mapping) - offset), sums)
              for path, mapping, sums in files for offset in range(0, len(mapping), _CHUNK)]

    def first_difference(chunk: tuple[Path, mmap.mmap, int, int, Sequence[str]]) -> int | None:
        _, mapping, offset, count, sums = chunk
        return differing(memoryview(mapping)[offset:offset + count], sums, offset)

    ahead, pool = ThreadPoolExecutor(max_workers=1), ThreadPoolExecutor(max_workers=2)
    try:
        for _, mapping, offset, count, _ in chunks:
            ahead.submit(read_ahead, mapping, offset, count)
        for index, wrong in enumerate(pool.map(first_difference, chunks)):
            if wrong is not None:
                raise damaged(chunks[index][0], wrong)
            progress((index + 1) / len(chunks))
    finally:
        for threads in (ahead, pool):
            threads.shutdown(cancel_futures=True)
