# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""XXH3 checksums of each MiB of a file: fast enough to verify everything on every load."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import xxhash

from tinychat_core.errors import CheckpointError

PIECE = 1 << 20  # bytes of a file covered by one checksum


def checksum(data: bytes | memoryview) -> str:
    """Return XXH3-64 as 16 hexadecimal digits."""
    return xxhash.xxh3_64_hexdigest(data)


def checksums(data: memoryview) -> list[str]:
    """Return the checksum of each MiB."""
    return [checksum(data[i:i + PIECE]) for i in range(0, len(data), PIECE)]


def differing(data: memoryview, sums: Sequence[str], offset: int = 0) -> int | None:
    """Return the file offset of the first MiB that differs, or None; `data` starts at `offset` of the file."""
    for begin in range(0, len(data), PIECE):
        if checksum(data[begin:begin + PIECE]) != sums[(offset + begin) // PIECE]:
            return offset + begin
    return None


def damaged(path: Path, offset: int) -> CheckpointError:
    """Return the error for the MiB at `offset`, whose checksum differs."""
    return CheckpointError(f'{path} is damaged (the checksum of the MiB at offset {offset} differs); '
                           'import the model again')
