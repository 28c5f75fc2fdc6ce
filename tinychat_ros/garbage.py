# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Decides when Python collects garbage among all objects.

Such a collection stops all threads: for 0.2 s while a message with 100,000 parts is read, which anybody may send. So a
node collects while no request runs. Python collects young objects as always, which takes a millisecond.
"""

from __future__ import annotations

from collections.abc import Callable
import gc
from time import monotonic

from tinychat_ros.heap import give_freed_memory_back

PERIOD = 1.0  # [s] between two calls of `look`
LONGEST = 600.0  # [s] since the last collection: then it is done although requests run
_NEVER = 2**31 - 1


class Collector:
    """Looks for garbage at moments when nobody waits for an answer."""

    def __init__(self, is_busy: Callable[[], bool], clock: Callable[[], float] = monotonic) -> None:
        """Stop Python from looking at all objects by itself; `is_busy`: whether requests run or wait."""
        self._is_busy = is_busy
        self._clock = clock
        self._looked_at = clock()
        young, middle, self._enough = gc.get_threshold()
        gc.set_threshold(young, middle, _NEVER)

    def look(self) -> None:
        """Collect garbage, if there may be as much as Python itself waits for, and nobody has to wait."""
        if gc.get_count()[2] <= self._enough:
            return
        if not self._is_busy() or self._clock() - self._looked_at > LONGEST:
            gc.collect()
            give_freed_memory_back()  # of the largest messages so far
            self._looked_at = self._clock()
