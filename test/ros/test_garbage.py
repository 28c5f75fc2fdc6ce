# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Garbage is looked for among all objects while no request runs."""

from __future__ import annotations

from collections.abc import Iterator
import gc
from weakref import ref

import pytest

from tinychat_ros.garbage import Collector, LONGEST


class Clock:
    """What time it is, and whether requests run."""

    now = 0.0
    is_busy = True


THRESHOLDS = gc.get_threshold()


@pytest.fixture
def clock() -> Iterator[Clock]:
    yield Clock()
    gc.set_threshold(*THRESHOLDS)


class Ring:
    """An object that refers to itself."""

    def __init__(self) -> None:
        """Close the ring."""
        self.itself = self


def old_ring() -> ref[Ring]:
    """Return a ring that nobody holds, and that young collections have passed over."""
    ring = Ring()
    for _ in range(THRESHOLDS[2] + 20):
        gc.collect(1)
    return ref(ring)


def test_python_itself_looks_at_young_objects_only(clock: Clock) -> None:
    Collector(lambda: True, lambda: clock.now)
    begun = gc.get_stats()[2]['collections']
    kept: list[list[int]] = [[] for _ in range(1_000_000)]  # before, this began some collections of all objects
    assert len(kept) == 1_000_000 and gc.get_stats()[2]['collections'] == begun
    assert gc.get_stats()[0]['collections'] > 0


def test_a_busy_node_does_not_look_and_an_idle_one_does(clock: Clock) -> None:
    collector = Collector(lambda: clock.is_busy, lambda: clock.now)
    ring = old_ring()
    clock.now = LONGEST - 1
    collector.look()
    assert ring() is not None
    clock.is_busy = False
    collector.look()
    assert ring() is None


def test_a_node_that_is_always_busy_looks_at_last(clock: Clock) -> None:
    collector = Collector(lambda: True, lambda: clock.now)
    ring = old_ring()
    clock.now = LONGEST + 1
    collector.look()
    assert ring() is None


def test_it_does_not_look_where_there_is_nothing_new(clock: Clock) -> None:
    collector = Collector(lambda: False, lambda: clock.now)
    gc.collect()
    begun = gc.get_stats()[2]['collections']
    collector.look()
    assert gc.get_stats()[2]['collections'] == begun
