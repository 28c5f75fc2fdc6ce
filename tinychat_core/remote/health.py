# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What is known about a backend: a circuit breaker, and the figures for diagnostics. Without I/O or threads."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

FAILURES_TO_OPEN = 3
MAX_PAUSE = 60.0  # [s], whatever a server asks for
_MAX_BACKOFF = 8  # times probe_period


class Health:
    """
    A circuit breaker (Nygard, Release It!, 2007): after FAILURES_TO_OPEN failures in a row, or a certain one, it opens.

    While it is open, the backend gets no requests, only probes. A probe that succeeds lets one request through; its
    outcome closes the breaker or opens it again, for twice as long as before. All methods belong to one thread; the
    properties may be read from any.
    """

    def __init__(self, probe_period: float, slow: float, clock: Callable[[], float] = monotonic) -> None:
        """Start closed. `slow`: a time to the first token that counts as slow [s]."""
        self.last_error = ''
        self.answers = self.failures = 0
        self.time_to_first_token = 0.0
        self._probe_period = probe_period
        self._slow = slow
        self._clock = clock
        self._in_a_row = 0
        self._is_open = False
        self._is_trial = False  # half open: one request is let through
        self._backoff = 1
        self._paused_until = -float('inf')
        self._heard_at = -float('inf')
        self._probe_at = -float('inf')

    @property
    def is_available(self) -> bool:
        """Whether a request may be sent now."""
        return not self._is_open and not self.is_paused

    @property
    def is_paused(self) -> bool:
        """Whether the server has asked to wait."""
        return self._clock() < self._paused_until

    @property
    def state(self) -> str:
        """'up', 'slow' or 'failing'; 'busy' while the server has asked to wait."""
        if self._is_open:
            return 'failing'
        if self.is_paused:
            return 'busy'
        return 'slow' if self.time_to_first_token > self._slow else 'up'

    @property
    def needs_probe(self) -> bool:
        """Whether a probe is due: nothing has been heard for a while."""
        now = self._clock()
        return now >= self._probe_at and now >= self._heard_at + self._probe_period

    def begin(self) -> None:
        """Note that a request is sent; after a failure, it is the only one until its outcome is known."""
        if self._is_trial:
            self._is_open = True

    def first_token(self, seconds: float) -> None:
        """Note the first token of an answer: the backend works."""
        self.time_to_first_token = seconds
        self._close()

    def answered(self) -> None:
        """Note the end of an answer."""
        self.answers += 1
        self._close()

    def alive(self) -> None:
        """Note that the server can be reached: an answer to a probe, or a refusal of one request."""
        self._heard_at = self._clock()
        if self._is_open:
            self._is_open, self._is_trial = False, True

    def refused(self, error: str) -> None:
        """Note that the server has refused one request; it works."""
        self.alive()
        self.last_error = error

    def busy(self, seconds: float) -> None:
        """Note that the server wants no requests for a time."""
        self.alive()
        self._paused_until = self._clock() + min(max(seconds, 0.0), MAX_PAUSE)

    def failed(self, error: str, is_certain: bool = False) -> None:
        """Note a failure; `is_certain`: the next request would fail as well."""
        self.failures += 1
        self.last_error = error
        self._in_a_row += 1
        if self._is_trial:
            self._backoff = min(2 * self._backoff, _MAX_BACKOFF)
        if is_certain or self._is_trial or self._in_a_row >= FAILURES_TO_OPEN:
            self._is_open, self._is_trial = True, False
            self._probe_at = self._clock() + self._probe_period * self._backoff

    def unreachable(self, error: str) -> None:
        """Note a probe that has failed."""
        self.last_error = error
        self._is_open, self._is_trial = True, False
        self._probe_at = self._clock() + self._probe_period

    def _close(self) -> None:
        self._heard_at = self._clock()
        self._in_a_row, self._backoff = 0, 1
        self._is_open = self._is_trial = False
        self.last_error = ''
