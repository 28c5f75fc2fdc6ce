# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""XXH3 of a file, MiB by MiB: fast enough that every load can verify everything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import xxhash

from tinychat_core.checkpoint.manifest import CHECKSUM_BYTES, Shard
from tinychat_core.errors import CheckpointError

Buffer = memoryview


def checksum(data: bytes | Buffer) -> str:
    """Return XXH3-64 as 16 hexadecimal digits."""
    return xxhash.xxh3_64_hexdigest(data)


def file_checksum(path: Path) -> str:
    """Return the checksum of a small file."""
    return checksum(path.read_bytes())


def checksums(data: Buffer) -> list[str]:
    """Return the checksum of each MiB."""
    return [checksum(data[i:i + CHECKSUM_BYTES]) for i in range(0, len(data), CHECKSUM_BYTES)]


def verify(shards: list[tuple[Path, Shard, Buffer]], progress: Callable[[float], None]) -> None:
    """
    Compare every MiB of the mapped shards with the manifest, on two threads: hashing releases the GIL.

    `progress` is told the fraction done. CheckpointError names the file and the MiB that differ.
    """
    def pieces() -> Iterator[tuple[Path, int, str, Buffer]]:
        for path, shard, data in shards:
            for index, expected in enumerate(shard.xxh3):
                yield path, index, expected, data[index * CHECKSUM_BYTES:(index + 1) * CHECKSUM_BYTES]

    def differs(piece: tuple[Path, int, str, Buffer]) -> tuple[Path, int] | None:
        path, index, expected, data = piece
        return None if checksum(data) == expected else (path, index)

    total = sum(len(shard.xxh3) for _, shard, _ in shards)
    with ThreadPoolExecutor(max_workers=2) as pool:
        for done, found in enumerate(pool.map(differs, pieces()), start=1):
            if found:
                pool.shutdown(cancel_futures=True)
                path, index = found
                raise CheckpointError(f'{path} is damaged (checksum differs in MiB {index}); import the model again')
            progress(done / total)
