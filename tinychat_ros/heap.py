# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""glibc's heap, told what a node that runs for months needs. Nothing happens with another C library."""

from __future__ import annotations

import ctypes

M_ARENA_MAX = -8  # malloc.h


def share_one_heap() -> None:
    """Let threads that are yet to start share one heap: of its own, each would keep what others could use."""
    tune = getattr(ctypes.CDLL(None), 'mallopt', None)
    if tune is not None:
        tune(M_ARENA_MAX, 1)


def give_freed_memory_back() -> None:
    """Return what is freed to the system, which glibc does not by itself where a crumb is in use."""
    trim = getattr(ctypes.CDLL(None), 'malloc_trim', None)
    if trim is not None:
        trim(0)
