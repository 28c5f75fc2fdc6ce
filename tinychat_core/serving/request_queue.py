# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Which requests run and which wait: a data structure without its own threads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Generic, TypeVar

from tinychat_core.serving.requests import Refusal, RefusalReason

Item = TypeVar('Item')


@dataclass(frozen=True)
class Admission:
    """
    The rules for a request that arrives while no more requests can run.

    `busy_policy`: 'queue': it waits if fewer than `queue_depth` requests wait, otherwise it is refused. 'reject': it is
    refused. 'preempt': all running and waiting requests end, but if one of them has a higher priority, it is refused.
    """

    busy_policy: str = 'queue'
    queue_depth: int = 8


class RequestQueue(Generic[Item]):
    """
    Up to `parallel` items run; the others wait, by priority and then in order of arrival.

    All methods may be called from any thread.
    """

    def __init__(self, parallel: int = 1) -> None:
        """Create an empty queue."""
        self._parallel = parallel
        self._lock = Lock()
        self._waiting: list[tuple[int, Item]] = []
        self._running: list[tuple[int, Item]] = []

    @property
    def running(self) -> list[Item]:
        """The running items, in the order in which they started."""
        with self._lock:
            return [item for _, item in self._running]

    def __len__(self) -> int:
        """Return the number of waiting items."""
        return len(self._waiting)

    def check(self, priority: int, admission: Admission) -> None:
        """Raise Refusal if an item of this priority would not be accepted now. Reserves nothing."""
        with self._lock:
            if len(self._running) < self._parallel:
                return
            if admission.busy_policy == 'reject':
                raise Refusal(RefusalReason.BUSY, 'another request is running')
            if admission.busy_policy == 'preempt':
                if max(p for p, _ in (*self._running, *self._waiting)) > priority:
                    raise Refusal(RefusalReason.BUSY, 'a request of higher priority is running or waiting')
            elif len(self._waiting) >= admission.queue_depth:
                raise Refusal(RefusalReason.QUEUE_FULL,
                              f'{len(self._waiting)} of {admission.queue_depth} requests wait')

    def push(self, item: Item, priority: int, busy_policy: str) -> tuple[list[Item], list[Item]]:
        """
        Add a waiting item; return what it preempts: waiting items, now removed, and running items, which must be ended.

        Never refuses an item, even if the queue has become full since `check`.
        """
        with self._lock:
            out: list[Item] = []
            to_end: list[Item] = []
            if busy_policy == 'preempt' and len(self._running) >= self._parallel:
                out = [waiting for p, waiting in self._waiting if p <= priority]
                self._waiting = [(p, waiting) for p, waiting in self._waiting if p > priority]
                to_end = [running for p, running in self._running if p <= priority]
            self._waiting.append((priority, item))
            return out, to_end

    def start(self) -> Item | None:
        """Make the next item run and return it; None if no more items can run or none waits."""
        with self._lock:
            if len(self._running) >= self._parallel or not self._waiting:
                return None
            # max() returns the first of equals, which arrived first.
            entry = max(self._waiting, key=lambda waiting: waiting[0])
            self._waiting.remove(entry)
            self._running.append(entry)
            return entry[1]

    def finish(self, item: Item) -> None:
        """Remove a running item that has ended."""
        with self._lock:
            self._running.remove(next(entry for entry in self._running if entry[1] is item))

    def take(self, wanted: Callable[[Item], bool]) -> Item | None:
        """Remove and return the first waiting item that is `wanted`; None if there is none."""
        with self._lock:
            for i, (_, waiting) in enumerate(self._waiting):
                if wanted(waiting):
                    del self._waiting[i]
                    return waiting
            return None

    def drain(self) -> list[Item]:
        """Remove and return all waiting items."""
        with self._lock:
            drained = [item for _, item in self._waiting]
            self._waiting.clear()
            return drained

    def ahead(self, item: Item) -> int:
        """Return how many items run or wait before a waiting item; 0 for one that does not wait."""
        with self._lock:
            for i, (priority, waiting) in enumerate(self._waiting):
                if waiting is item:
                    earlier = sum(p >= priority for p, _ in self._waiting[:i])
                    later = sum(p > priority for p, _ in self._waiting[i + 1:])
                    return earlier + later + len(self._running)
            return 0
