# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Who runs next. Knows nothing of ROS, so that every case can be tested in microseconds."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

Item = TypeVar('Item')


class GoalQueue(Generic[Item]):
    """
    At most one item runs; the others wait, the higher priority first, equal ones in order of arrival.

    Policies for an item that comes while another runs: 'queue', it waits, where fewer than `depth` do;
    'reject', it is refused; 'preempt', all that run or wait and have no higher priority end, and it is
    refused where one has. All methods may be called from any thread.
    """

    def __init__(self) -> None:
        """Begin empty."""
        self._lock = Lock()
        self._waiting: list[tuple[int, Item]] = []
        self._running: tuple[int, Item] | None = None

    @property
    def running(self) -> Item | None:
        """What runs now."""
        running = self._running
        return None if running is None else running[1]

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def refusal(self, priority: int, policy: str, depth: int) -> str | None:
        """Return why an item of this priority would not be taken now, or None. Reserves nothing."""
        with self._lock:
            if self._running is None:
                return None
            if policy == 'reject':
                return '[busy] another goal is running'
            if policy == 'preempt':
                highest = max(p for p, _ in [self._running, *self._waiting])
                higher = '[busy] a goal of higher priority is running or waiting'
                return higher if highest > priority else None
            if len(self._waiting) >= depth:
                return f'[queue full] {len(self._waiting)} of {depth} goals wait'
            return None

    def push(self, item: Item, priority: int, policy: str) -> tuple[list[Item], Item | None]:
        """
        Let an item wait; return what it preempts: what waited and is out now, and what runs until it is ended.

        Never refuses: an item that `refusal` let pass may meet a queue that has filled since.
        """
        with self._lock:
            out: list[Item] = []
            to_end = None
            if policy == 'preempt':
                out = [waiting for p, waiting in self._waiting if p <= priority]
                self._waiting = [(p, waiting) for p, waiting in self._waiting if p > priority]
                if self._running is not None and self._running[0] <= priority:
                    to_end = self._running[1]
            self._waiting.append((priority, item))
            return out, to_end

    def start(self) -> Item | None:
        """Make the next item run and return it; None where one runs already or none waits."""
        with self._lock:
            if self._running is not None or not self._waiting:
                return None
            # max() returns the first of equals: the one that came first.
            self._running = max(self._waiting, key=lambda entry: entry[0])
            self._waiting.remove(self._running)
            return self._running[1]

    def finish(self, item: Item) -> None:
        """Note that the running item has ended."""
        with self._lock:
            assert self._running is not None and self._running[1] is item
            self._running = None

    def take(self, wanted: Callable[[Item], bool]) -> Item | None:
        """Take out and return the first waiting item that is `wanted`; None where there is none."""
        with self._lock:
            for i, (_, waiting) in enumerate(self._waiting):
                if wanted(waiting):
                    del self._waiting[i]
                    return waiting
            return None

    def drain(self) -> list[Item]:
        """Take out and return all that wait."""
        with self._lock:
            drained = [item for _, item in self._waiting]
            self._waiting.clear()
            return drained

    def ahead(self, item: Item) -> int:
        """Return how many run or wait before a waiting item; 0 for one that does not wait."""
        with self._lock:
            for i, (priority, waiting) in enumerate(self._waiting):
                if waiting is item:
                    earlier = sum(p >= priority for p, _ in self._waiting[:i])
                    later = sum(p > priority for p, _ in self._waiting[i + 1:])
                    return earlier + later + (self._running is not None)
            return 0
