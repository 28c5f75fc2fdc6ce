# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""XXH3 of a file, MiB by MiB: fast enough that every load can verify everything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import xxhash

from tinychat_core.errors import CheckpointError

PIECE = 1 << 20  # bytes of a file to one checksum


def checksum(data: bytes | memoryview) -> str:
    """Return XXH3-64 as 16 hexadecimal digits."""
    return xxhash.xxh3_64_hexdigest(data)


def checksums(data: memoryview) -> list[str]:
    """Return the checksum of each MiB."""
    return [checksum(data[i:i + PIECE]) for i in range(0, len(data), PIECE)]


def verify(files: Sequence[tuple[Path, memoryview, Sequence[str]]],
           progress: Callable[[float], None]) -> None:
    """
    Compare every MiB of the mapped files with its checksum, on two threads: hashing releases the GIL.

    `progress` is told the fraction done, and may raise to end it. CheckpointError names the file and the
    offset.
    """
    pieces = [(path, data, index * PIECE, expected)
              for path, data, sums in files for index, expected in enumerate(sums)]

    def differs(piece: tuple[Path, memoryview, int, str]) -> bool:
        _, data, offset, expected = piece
        return checksum(data[offset:offset + PIECE]) != expected

    pool = ThreadPoolExecutor(max_workers=2)
    try:
        for done, wrong in enumerate(pool.map(differs, pieces), start=1):
            if wrong:
                path, _, offset, _ = pieces[done - 1]
                raise CheckpointError(f'{path} is damaged (the checksum of the MiB at offset {offset} '
                                      'differs); import the model again')
            progress(done / len(pieces))
    finally:
        pool.shutdown(cancel_futures=True)
