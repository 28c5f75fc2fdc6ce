# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Whose time is over."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from waiting import wait_for

from tinychat_core.serving.time_limits import TimeLimits


@pytest.fixture
def expired() -> list[str]:
    """Return what has expired."""
    return []


@pytest.fixture
def limits(expired: list[str]) -> Iterator[TimeLimits[str]]:
    """Return limits that note what expires."""
    limits = TimeLimits(expired.append)
    yield limits
    limits.close()


def test_they_expire_in_the_order_of_their_ends(limits: TimeLimits[str], expired: list[str]) -> None:
    with limits._changed:  # nothing expires before all are there, however slow the machine
        for item, seconds in (('late', 0.2), ('never', 1000.0), ('early', 0.05), ('at once', 0.0)):
            limits.watch(item, seconds)
    wait_for(lambda: len(expired) == 3)
    assert expired == ['at once', 'early', 'late']


def test_what_is_forgotten_does_not_expire(limits: TimeLimits[str], expired: list[str]) -> None:
    with limits._changed:
        limits.watch('a', 0.05)
        limits.watch('b', 0.1)
        limits.forget('a')
        limits.forget('unknown')
    wait_for(lambda: expired)
    assert expired == ['b']
