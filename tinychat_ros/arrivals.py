# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Goals and prompts are checked one by one in a thread of their own, so that cancels need not wait for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Condition, Thread

from rclpy.node import Node

from tinychat_core.boundary import is_defect
from tinychat_ros.guard import OnceLog

# Until one of them has been checked, the executor takes no more from the middleware.
MOST_WAITING = 100
LONGEST_END = 2.0  # [s] to wait for the thread


class Arrivals:
    """Calls functions in the order in which they were put, one at a time. All methods may be called from any thread."""

    def __init__(self, node: Node) -> None:
        """Start the thread; the node's logger is told what a function raises."""
        self._log = OnceLog(node)
        self._changed = Condition()  # guards the two below
        self._waiting: deque[Callable[[], None]] = deque()
        self._is_closed = False
        self._thread = Thread(target=self._work, name='arrivals', daemon=True)
        self._thread.start()

    def put(self, work: Callable[[], None]) -> None:
        """Add a function; while MOST_WAITING others wait, this blocks. After `close` it does nothing."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._waiting) < MOST_WAITING or self._is_closed)
            if not self._is_closed:
                self._waiting.append(work)
                self._changed.notify_all()

    def close(self) -> None:
        """Forget the functions that wait, and end the thread."""
        with self._changed:
            self._is_closed = True
            self._waiting.clear()
            self._changed.notify_all()
        self._thread.join(LONGEST_END)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_closed)
                if self._is_closed:
                    return
                work = self._waiting.popleft()
                self._changed.notify_all()
            try:
                work()
            except BaseException as error:
                if not is_defect(error):
                    raise
                if not self._is_closed:  # what it needs may be destroyed by then
                    self._log.error(f'a goal could not be checked: {error!r}')
            del work  # a goal may have megabytes
