# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Whose client is gone. Knows nothing of ROS."""

from __future__ import annotations

from collections.abc import Collection, Hashable
from threading import Lock
from typing import Generic, TypeVar

Item = TypeVar('Item', bound=Hashable)


class Listeners(Generic[Item]):
    """
    Who listens to each item, by a name that nobody else ever has.

    ROS tells who listens to an action's feedback, and not whose goal is whose. So an item counts as lost when all who
    listened when it came are gone: with one client that is certain, with several it is when the last of them goes.
    All methods may be called from any thread.
    """

    def __init__(self) -> None:
        """Begin with nothing to watch."""
        self._lock = Lock()
        self._first: dict[Item, frozenset[bytes]] = {}

    def __len__(self) -> int:
        """How many are watched."""
        return len(self._first)

    def watch(self, item: Item) -> None:
        """Watch an item; who listens at the next look that finds anybody is its listeners."""
        with self._lock:
            self._first[item] = frozenset()

    def forget(self, item: Item) -> None:
        """Watch an item no longer; nothing happens where it is not watched."""
        with self._lock:
            self._first.pop(item, None)

    def look(self, present: Collection[bytes]) -> list[Item]:
        """Return the items that are lost, and watch them no longer, where these listen now."""
        with self._lock:
            lost = []
            for item, first in [*self._first.items()]:
                if not first:
                    self._first[item] = frozenset(present)
                elif first.isdisjoint(present):
                    lost.append(item)
                    del self._first[item]
            return lost
