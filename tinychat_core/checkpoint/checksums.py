# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""XXH3 of a file, MiB by MiB: fast enough that every load can verify everything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
import mmap
from pathlib import Path

import xxhash

from tinychat_core.checkpoint.mapped_pages import read_ahead
from tinychat_core.errors import CheckpointError

VERIFY = ('full', 'size')  # what is compared when a checkpoint is opened
PIECE = 1 << 20       # bytes of a file to one checksum
_CHUNK = 16 << 20     # bytes that a thread verifies at once


def checksum(data: bytes | memoryview) -> str:
    """Return XXH3-64 as 16 hexadecimal digits."""
    return xxhash.xxh3_64_hexdigest(data)


def checksums(data: memoryview) -> list[str]:
    """Return the checksum of each MiB."""
    return [checksum(data[i:i + PIECE]) for i in range(0, len(data), PIECE)]


def differing(data: memoryview, sums: Sequence[str], offset: int = 0) -> int | None:
    """Return the offset of the first MiB of `data` that differs, None where all is well; `data` begins at `offset`."""
    for begin in range(0, len(data), PIECE):
        if checksum(data[begin:begin + PIECE]) != sums[(offset + begin) // PIECE]:
            return offset + begin
    return None


def damaged(path: Path, offset: int) -> CheckpointError:
    """Return the error for a MiB that differs."""
    return CheckpointError(f'{path} is damaged (the checksum of the MiB at offset {offset} differs); '
                           'import the model again')


def verify(files: Sequence[tuple[Path, mmap.mmap, Sequence[str]]],
           progress: Callable[[float], None]) -> None:
    """
    Compare every MiB of the mapped files with its checksum, on two threads: hashing releases the GIL.

    A third one reads ahead, so that a cold disk is read in long requests and always has one. `progress` is told the
    fraction done, and may raise to end it. CheckpointError names the file and the offset.
    """
    chunks = [(path, mapping, offset, min(_CHUNK, len(mapping) - offset), sums)
              for path, mapping, sums in files for offset in range(0, len(mapping), _CHUNK)]

    def look(chunk: tuple[Path, mmap.mmap, int, int, Sequence[str]]) -> int | None:
        _, mapping, offset, count, sums = chunk
        return differing(memoryview(mapping)[offset:offset + count], sums, offset)

    ahead, pool = ThreadPoolExecutor(max_workers=1), ThreadPoolExecutor(max_workers=2)
    try:
        for _, mapping, offset, count, _ in chunks:
            ahead.submit(read_ahead, mapping, offset, count)
        for index, wrong in enumerate(pool.map(look, chunks)):
            if wrong is not None:
                raise damaged(chunks[index][0], wrong)
            progress((index + 1) / len(chunks))
    finally:
        for threads in (ahead, pool):
            threads.shutdown(cancel_futures=True)
