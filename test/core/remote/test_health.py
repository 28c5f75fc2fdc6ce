# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The circuit breaker: when a backend gets requests, and what diagnostics say."""

from __future__ import annotations

import pytest

from tinychat_core.remote.health import FAILURES_TO_OPEN, Health, MAX_PAUSE


class Clock:
    """A clock that the test moves."""

    now = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Return a clock."""
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    """Return the health of a backend that is probed every 5 s and slow from 2 s on."""
    return Health(5.0, 2.0, clock)


def test_a_new_backend_is_asked_and_probed(health: Health) -> None:
    assert health.is_available and health.needs_probe and health.state == 'up'


def test_failures_in_a_row_open_it(health: Health) -> None:
    for _ in range(FAILURES_TO_OPEN - 1):
        health.failed('500')
    health.first_token(0.1)
    for _ in range(FAILURES_TO_OPEN - 1):
        health.failed('500')
    assert health.is_available
    health.failed('500')
    assert not health.is_available and (health.state, health.last_error) == ('failing', '500')


def test_a_certain_failure_opens_it_at_once(health: Health) -> None:
    health.failed('cannot be reached', is_certain=True)
    assert not health.is_available


def test_a_probe_lets_one_request_through(health: Health, clock: Clock) -> None:
    health.failed('x', is_certain=True)
    assert not health.needs_probe
    clock.now += 5
    assert health.needs_probe
    health.alive()
    assert health.is_available
    health.begin()
    assert not health.is_available
    health.first_token(0.1)
    assert health.is_available and health.last_error == ''


def test_a_trial_that_fails_doubles_the_wait(health: Health, clock: Clock) -> None:
    health.failed('x', is_certain=True)
    clock.now += 5
    health.alive()
    health.begin()
    health.failed('y')
    assert not health.is_available
    clock.now += 9.9
    assert not health.needs_probe
    clock.now += 0.1
    assert health.needs_probe


def test_a_server_that_asks_to_wait_is_left_alone(health: Health, clock: Clock) -> None:
    health.busy(3.0)
    assert not health.is_available and health.state == 'busy'
    clock.now += 3
    assert health.is_available
    health.busy(1e9)
    clock.now += MAX_PAUSE
    assert health.is_available


def test_what_was_heard_is_not_probed(health: Health, clock: Clock) -> None:
    health.first_token(0.1)
    assert not health.needs_probe
    clock.now += 5
    assert health.needs_probe


def test_late_first_tokens_are_slow(health: Health) -> None:
    health.first_token(2.1)
    assert health.state == 'slow' and health.is_available
