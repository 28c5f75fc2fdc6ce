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
    when all clients that may have sent it have gone: with one client that is certain, with several it is when the last
    of them goes. These are the clients that were there when its request came, and those that the first look finds: a
    request may arrive before ROS has found the rest of its client. All methods may be called from any thread.
    """

    def __init__(self) -> None:
        """Begin with nothing to watch."""
        self._lock = Lock()
        self._clients: dict[Item, frozenset[bytes]] = {}
        self._new: set[Item] = set()  # those that no look has seen

    def __len__(self) -> int:
        """Return how many items are watched."""
        return len(self._clients)

    def watch(self, item: Item, present: Collection[bytes]) -> None:
        """Watch an item; `present` are the clients that were there before its client was answered, and so could go."""
        with self._lock:
            self._clients[item] = frozenset(present)
            self._new.add(item)

    def forget(self, item: Item) -> None:
        """Stop watching an item; nothing happens where it is not watched."""
        with self._lock:
            self._clients.pop(item, None)
            self._new.discard(item)

    def look(self, present: Collection[bytes]) -> list[Item]:
        """
        Return the items that are lost, and stop watching them; `present` are the clients that are there now.

        Call it once every LOOK_PERIOD. The first look at an item finds clients, and never loses it.
        """
        with self._lock:
            lost = []
            for item, clients in [*self._clients.items()]:
                if item in self._new or not clients:
                    self._clients[item] = clients.union(present)
                    self._new.discard(item)
                elif clients.isdisjoint(present):
                    lost.append(item)
                    del self._clients[item]
            return lost
