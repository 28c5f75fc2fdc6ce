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
    The rules for a request that arrives while it cannot run at once.

    `busy_policy`: 'queue': it waits if fewer than `queue_depth` requests wait, otherwise it is refused. 'reject': it is
    refused. 'preempt': the oldest request of the lowest priority is ended for it; if all requests that block it
    have a higher priority, it is refused.
    """

    busy_policy: str = 'queue'
    queue_depth: int = 8


@dataclass(frozen=True)
class _Entry(Generic[Item]):
    item: Item
    priority: int
    exclusive: frozenset[str]


class RequestQueue(Generic[Item]):
    """
    Up to `parallel` items run; the others wait, by priority and then in order of arrival.

    Items that have a name of `exclusive` in common run one after the other. All methods may be called from any thread.
    """

    def __init__(self, parallel: int = 1) -> None:
        """Create an empty queue."""
        self._parallel = parallel
        self._lock = Lock()
        self._waiting: list[_Entry[Item]] = []
        self._running: list[_Entry[Item]] = []
        self._ending: list[Item] = []  # running items that were preempted

    @property
    def running(self) -> list[Item]:
        """The running items, in the order in which they started."""
        with self._lock:
            return [entry.item for entry in self._running]

    def __len__(self) -> int:
        """Return the number of waiting items."""
        return len(self._waiting)

    def check(self, priority: int, admission: Admission, exclusive: frozenset[str] = frozenset()) -> None:
        """Raise Refusal if an item of this priority would not be accepted now. Reserves nothing."""
        with self._lock:
            if self._can_start(exclusive):
                return
            if admission.busy_policy == 'reject':
                raise Refusal(RefusalReason.BUSY, 'another request is running')
            if admission.busy_policy == 'preempt':
                if any(entry.priority > priority for entry in self._in_the_way(exclusive)):
                    raise Refusal(RefusalReason.BUSY, 'a request of higher priority is running or waiting')
            elif len(self._waiting) >= admission.queue_depth:
                raise Refusal(RefusalReason.QUEUE_FULL,
                              f'{len(self._waiting)} of {admission.queue_depth} requests wait')

    def push(self, item: Item, priority: int, busy_policy: str,
             exclusive: frozenset[str] = frozenset()) -> tuple[list[Item], list[Item]]:
        """
        Add a waiting item; return what it preempts: waiting items, now removed, and running items, which must be ended.

        Never refuses an item, even if the queue has become full since `check`.
        """
        with self._lock:
            out: list[Item] = []
            to_end: list[Item] = []
            if busy_policy == 'preempt' and not self._can_start(exclusive):
                for entry in self._in_the_way(exclusive):
                    if entry.priority > priority:
                        continue
                    if entry in self._waiting:
                        self._waiting.remove(entry)
                        out.append(entry.item)
                    else:
                        self._ending.append(entry.item)
                        to_end.append(entry.item)
            self._waiting.append(_Entry(item, priority, exclusive))
            return out, to_end

    def start(self) -> Item | None:
        """Make the next item run and return it; None if no more items can run or none waits."""
        with self._lock:
            free = [entry for entry in self._waiting if self._can_start(entry.exclusive)]
            if not free:
                return None
            entry = max(free, key=lambda waiting: waiting.priority)  # among equals, the one that arrived first
            self._waiting.remove(entry)
            self._running.append(entry)
            return entry.item

    def finish(self, item: Item) -> None:
        """Remove a running item that has ended."""
        with self._lock:
            self._running = [entry for entry in self._running if entry.item is not item]
            self._ending = [other for other in self._ending if other is not item]

    def take(self, wanted: Callable[[Item], bool]) -> Item | None:
        """Remove and return the first waiting item that is `wanted`; None if there is none."""
        with self._lock:
            for entry in self._waiting:
                if wanted(entry.item):
                    self._waiting.remove(entry)
                    return entry.item
            return None

    def drain(self) -> list[Item]:
        """Remove and return all waiting items."""
        with self._lock:
            drained = [entry.item for entry in self._waiting]
            self._waiting.clear()
            return drained

    def ahead(self, item: Item) -> int:
        """Return how many items run or wait before a waiting item; 0 for one that does not wait."""
        with self._lock:
            for i, entry in enumerate(self._waiting):
                if entry.item is item:
                    earlier = sum(other.priority >= entry.priority for other in self._waiting[:i])
                    later = sum(other.priority > entry.priority for other in self._waiting[i + 1:])
                    return earlier + later + len(self._running)
            return 0

    def _can_start(self, exclusive: frozenset[str]) -> bool:
        return len(self._running) < self._parallel and not any(entry.exclusive & exclusive for entry in self._running)

    def _in_the_way(self, exclusive: frozenset[str]) -> list[_Entry[Item]]:
        """Return the items that must end before a new one can run, without those that are ending already."""
        alive = [entry for entry in (*self._running, *self._waiting) if entry.item not in self._ending]
        same = [entry for entry in alive if entry.exclusive & exclusive]
        others = sorted((entry for entry in alive if entry not in same), key=lambda entry: entry.priority)
        return same + others[:max(0, len(alive) - len(same) - self._parallel + 1)]
