# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Goals and prompts are checked one by one, and no more of them are taken than can wait."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event, Thread
from types import SimpleNamespace
from typing import Any

import pytest
from waiting import wait_for

from tinychat_ros.arrivals import Arrivals, MOST_WAITING

LOGGED: list[str] = []


@pytest.fixture
def arrivals() -> Iterator[Arrivals]:
    LOGGED.clear()
    node: Any = SimpleNamespace(get_logger=lambda: SimpleNamespace(error=LOGGED.append))
    arrivals = Arrivals(node)
    yield arrivals
    arrivals.close()


def test_the_order_is_that_of_arrival(arrivals: Arrivals) -> None:
    seen: list[int] = []
    for i in range(50):
        arrivals.put(lambda i=i: seen.append(i))  # type: ignore[misc]
    wait_for(lambda: len(seen) == 50)
    assert seen == [*range(50)]


def test_an_error_is_logged_and_the_next_one_is_checked(arrivals: Arrivals) -> None:
    done = Event()

    def fail() -> None:
        raise RuntimeError('broken')

    arrivals.put(fail)
    arrivals.put(done.set)
    assert done.wait(30)
    assert LOGGED == ["a goal could not be checked: RuntimeError('broken')"]


def test_who_comes_while_many_wait_is_held_up(arrivals: Arrivals) -> None:
    begun, go, seen = Event(), Event(), list[int]()
    arrivals.put(lambda: (begun.set(), go.wait(30)))  # type: ignore[arg-type,return-value]
    assert begun.wait(30)
    for i in range(MOST_WAITING):
        arrivals.put(lambda i=i: seen.append(i))  # type: ignore[misc]
    held = Thread(target=arrivals.put, args=(lambda: seen.append(-1),))
    held.start()
    held.join(0.05)
    assert held.is_alive()
    go.set()
    held.join(30)
    wait_for(lambda: len(seen) == MOST_WAITING + 1)


def test_what_waits_at_the_end_is_forgotten(arrivals: Arrivals) -> None:
    begun, go, seen = Event(), Event(), list[int]()
    arrivals.put(lambda: (begun.set(), go.wait(30)))  # type: ignore[arg-type,return-value]
    assert begun.wait(30)
    arrivals.put(lambda: seen.append(0))
    closing = Thread(target=arrivals.close)
    closing.start()
    wait_for(lambda: arrivals._is_closed)
    go.set()
    closing.join(30)
    arrivals.put(lambda: seen.append(1))
    assert seen == []
