# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The time limits of all requests, in one thread."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from threading import Condition, Thread
from time import monotonic
from typing import Generic, TypeVar

Item = TypeVar('Item', bound=Hashable)


class TimeLimits(Generic[Item]):
    """Calls `expire(item)` when the time of a watched item is over. All methods may be called from any thread."""

    def __init__(self, expire: Callable[[Item], None]) -> None:
        """Start the thread, without any item."""
        self._expire = expire
        self._ends: dict[Item, float] = {}
        self._changed = Condition()
        self._is_closed = False
        self._thread = Thread(target=self._watch, name='time limits', daemon=True)
        self._thread.start()

    def watch(self, item: Item, seconds: float) -> None:
        """Set the end of an item to `seconds` from now."""
        with self._changed:
            self._ends[item] = monotonic() + seconds
            self._changed.notify()

    def forget(self, item: Item) -> None:
        """Stop watching an item; does nothing if it is not watched."""
        with self._changed:
            self._ends.pop(item, None)

    def close(self) -> None:
        """Stop watching, and end the thread."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()
        del self._expire

    def _watch(self) -> None:
        while True:
            with self._changed:
                if self._is_closed:
                    return
                now = monotonic()
                over = [item for item, end in self._ends.items() if end <= now]
                for item in over:
                    del self._ends[item]
                if not over:
                    # If this item is forgotten meanwhile, the thread wakes up once without need.
                    self._changed.wait(min(self._ends.values()) - now if self._ends else None)
            for item in over:
                self._expire(item)
