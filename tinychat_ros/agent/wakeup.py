# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Lets a task's thread wait for a condition, until a given time, and never beyond the end of the task."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Condition
from time import monotonic

from tinychat_core.serving.results import ErrorCode
from tinychat_ros.interfaces import Task

LONGEST_SLEEP = 0.05  # [s] between two looks at what nobody tells about, such as a service that appears


class TaskEnded(Exception):
    """The task ends before the model says so; `error_code` and the message as in the result."""

    def __init__(self, finish_reason: str, error_code: ErrorCode = ErrorCode.NONE, message: str = '') -> None:
        """Take the fields of the result."""
        super().__init__(message)
        self.finish_reason = finish_reason
        self.error_code = error_code


class Wakeup:
    """Ends the wait of a task's thread at once: all methods but wait may be called from any thread."""

    def __init__(self, time_limit: float) -> None:
        """Begin a task with a time limit [s]; 0: none."""
        self.deadline = monotonic() + time_limit if time_limit else float('inf')
        self._time_limit = time_limit
        self._condition = Condition()
        self._end: TaskEnded | None = None
        self._at_end: Callable[[], None] | None = None

    def end(self, reason: TaskEnded) -> None:
        """End the task; only the first reason counts."""
        with self._condition:
            if self._end is None:
                self._end = reason
        if self._at_end is not None:
            with suppress(Exception):  # the task's thread also stops the robot, and reports a failure
                self._at_end()
        self.notify()

    @contextmanager
    def at_end(self, stop: Callable[[], None]) -> Iterator[None]:
        """
        If the task ends within the block, call `stop` in the thread that ends it.

        On a busy computer, the task's own thread only wakes up many milliseconds later.
        """
        self._at_end = stop
        try:
            yield
        finally:
            self._at_end = None

    def notify(self, *_: object) -> None:
        """Let the thread check its condition again; also a callback for futures."""
        with self._condition:
            self._condition.notify_all()

    def check(self) -> None:
        """Raise TaskEnded if the task has ended."""
        if self._end is None and monotonic() >= self.deadline:
            self._end = TaskEnded(Task.Result.ABORTED, ErrorCode.TIME_LIMIT,
                                  f'the time limit of {self._time_limit:g} s has passed')
        if self._end is not None:
            raise self._end

    def wait(self, is_done: Callable[[], bool], until: float = float('inf')) -> bool:
        """
        Wait until `is_done`, at most until a time of the monotonic clock; return whether it is done.

        Raises TaskEnded as soon as the task ends.
        """
        with self._condition:
            while True:
                self.check()
                if is_done():
                    return True
                now = monotonic()
                if now >= until:
                    return False
                self._condition.wait(min(LONGEST_SLEEP, until - now, max(0.0, self.deadline - now)))
