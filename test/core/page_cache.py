# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""How much of a file the system keeps in its page cache."""
from __future__ import annotations

import ctypes
import mmap
import os
from pathlib import Path

import numpy as np

_LIBC = ctypes.CDLL(None, use_errno=True)


def cached_bytes(*paths: Path) -> int:
    """Return the bytes of files that lie in the page cache, by mincore."""
    return sum(_cached(path) for path in paths)


def drop(*paths: Path) -> None:
    """Let the page cache forget files that nobody has mapped."""
    for path in paths:
        with open(path, 'rb') as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _cached(path: Path) -> int:
    with open(path, 'rb') as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapping:
        pages = (ctypes.c_ubyte * -(-len(mapping) // mmap.PAGESIZE))()
        view = np.frombuffer(mapping, np.uint8)
        if _LIBC.mincore(ctypes.c_void_p(view.ctypes.data), ctypes.c_size_t(len(mapping)), pages):
            raise OSError(ctypes.get_errno(), 'mincore')
        del view
        return sum(page & 1 for page in pages) * mmap.PAGESIZE
