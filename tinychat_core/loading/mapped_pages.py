# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Requests to the system about the pages of a mapped file; an older system ignores what it does not support."""

from __future__ import annotations

from contextlib import suppress
import ctypes
import mmap
import os

import numpy as np

_POPULATE_READ = 22  # MADV_POPULATE_READ, Linux 5.14
_LIBC = ctypes.CDLL(None, use_errno=True)


def prefer_huge(mapping: mmap.mmap) -> None:
    """
    Ask for pages of 2 MiB before the file is read: a core that streams weights has fewer TLB misses with them.

    Linux supports this since 5.18 if the file system does (ext4: 6.16). Pages that are cached already stay small.
    """
    with suppress(OSError):  # a kernel without huge pages
        mapping.madvise(mmap.MADV_HUGEPAGE)


def read_ahead(mapping: mmap.mmap, offset: int, size: int) -> None:
    """
    Read a part of the file into memory, using the requested page size, and wait for it.

    Releases the GIL. An older system only starts the read, with small pages.
    """
    if _LIBC.madvise(_address(mapping, offset), ctypes.c_size_t(size), _POPULATE_READ) != 0:
        mapping.madvise(mmap.MADV_WILLNEED, offset, size)


def lock_pages(mapping: mmap.mmap) -> str:
    """Lock the pages in memory (mlock); return '', or the reason if that is not allowed."""
    if _LIBC.mlock(_address(mapping, 0), ctypes.c_size_t(len(mapping))) == 0:
        return ''
    return f'{os.strerror(ctypes.get_errno())} (RLIMIT_MEMLOCK, `ulimit -l`, must be as large as the model)'


def _address(mapping: mmap.mmap, offset: int) -> ctypes.c_void_p:
    return ctypes.c_void_p(np.frombuffer(mapping, np.uint8).ctypes.data + offset)
