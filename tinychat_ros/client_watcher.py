# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Which goals have lost their client. Knows nothing of ROS."""

from __future__ import annotations

from collections.abc import Collection, Hashable
from threading import Lock
from typing import Generic, TypeVar

LOOK_PERIOD = 0.5  # [s] between two checks; ROS itself notices a killed client after up to 20 s

Item = TypeVar('Item', bound=Hashable)


class ClientWatcher(Generic[Item]):
    """
    Which clients follow each item; a client is a name that no other client ever has.

    ROS tells which clients subscribe to an action's feedback, but not whose goal is whose. So an item counts as lost
    when all clients that were there when it came have gone: with one client that is certain, with several it is when
    the last of them goes. All methods may be called from any thread.
    """

    def __init__(self) -> None:
        """Begin with nothing to watch."""
        self._lock = Lock()
        self._first: dict[Item, frozenset[bytes]] = {}

    def __len__(self) -> int:
        """Return how many items are watched."""
        return len(self._first)

    def watch(self, item: Item) -> None:
        """Watch an item; its clients are those that the next look with any client finds."""
        with self._lock:
            self._first[item] = frozenset()

    def forget(self, item: Item) -> None:
        """Stop watching an item; nothing happens where it is not watched."""
        with self._lock:
            self._first.pop(item, None)

    def look(self, present: Collection[bytes]) -> list[Item]:
        """Return the items that are lost, and stop watching them; `present` are the clients that are there now."""
        with self._lock:
            lost = []
            for item, first in [*self._first.items()]:
                if not first:
                    self._first[item] = frozenset(present)
                elif first.isdisjoint(present):
                    lost.append(item)
                    del self._first[item]
            return lost
