# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What the system is asked for about the pages of a mapped file; what it does not know, it does without."""

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
    Ask for pages of 2 MiB, before the first is read: a core that streams weights finds its way through fewer of them.

    Linux reads a file so since 5.18, where the file system can (ext4: 6.16); what the page cache already holds stays as
    it is.
    """
    with suppress(OSError):  # a kernel without huge pages
        mapping.madvise(mmap.MADV_HUGEPAGE)


def read_ahead(mapping: mmap.mmap, offset: int, size: int) -> None:
    """
    Bring a part of the file into memory, in the pages that were asked for; returns when it is there.

    Other threads go on meanwhile. An older system only begins to read, in small pages.
    """
    if _LIBC.madvise(_address(mapping, offset), ctypes.c_size_t(size), _POPULATE_READ) != 0:
        mapping.madvise(mmap.MADV_WILLNEED, offset, size)


def lock_pages(mapping: mmap.mmap) -> str:
    """Keep the pages in memory (mlock) and return '', or why that is not allowed."""
    if _LIBC.mlock(_address(mapping, 0), ctypes.c_size_t(len(mapping))) == 0:
        return ''
    return f'{os.strerror(ctypes.get_errno())} (RLIMIT_MEMLOCK, `ulimit -l`, must be as large as the model)'


def _address(mapping: mmap.mmap, offset: int) -> ctypes.c_void_p:
    return ctypes.c_void_p(np.frombuffer(mapping, np.uint8).ctypes.data + offset)
