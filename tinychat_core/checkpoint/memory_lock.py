# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Keep a mapping in memory, where the system allows it."""

from __future__ import annotations

import ctypes
import mmap
import os

import numpy as np


def lock_memory(mapping: mmap.mmap) -> str:
    """Lock the pages of a mapping (mlock) and return '', or why that is not allowed."""
    libc = ctypes.CDLL(None, use_errno=True)
    address = np.frombuffer(mapping, np.uint8).ctypes.data
    if libc.mlock(ctypes.c_void_p(address), ctypes.c_size_t(len(mapping))) == 0:
        return ''
    return f'{os.strerror(ctypes.get_errno())} (RLIMIT_MEMLOCK, `ulimit -l`, must be as large as the model)'
