# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The pieces of one answer on their way out: joined, numbered, and closed exactly once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic


@dataclass(frozen=True)
class Piece:
    """What goes out at once; `index` counts from 0 without gaps."""

    index: int
    new_tokens: int
    delta: str
    last: bool = False
    finish_reason: str = ''
    error_code: int = 0


class TokenStream:
    """
    Joins what is pushed within `period` seconds of the piece before into one; the first goes out at once.

    A message costs a robot's core a quarter of a millisecond; at 400 tokens/s that would be a tenth of it.
    """

    def __init__(self, emit: Callable[[Piece], None], period: float) -> None:
        """Send pieces to `emit`."""
        self._emit = emit
        self._period = period
        self._index = 0
        self._held = ''
        self._sent_at = -float('inf')
        self._closed = False

    def push(self, text: str, new_tokens: int) -> None:
        """Take the text of a token; `new_tokens` counts all so far."""
        self._held += text
        now = monotonic()
        if self._held and now - self._sent_at >= self._period:
            self._send(Piece(self._index, new_tokens, self._held))
            self._sent_at = now

    def close(self, new_tokens: int, finish_reason: str, error_code: int = 0) -> None:
        """Send what is held back, as the last piece; a second call does nothing."""
        if not self._closed:
            self._closed = True
            self._send(Piece(self._index, new_tokens, self._held, True, finish_reason, error_code))

    def _send(self, piece: Piece) -> None:
        self._index += 1
        self._held = ''
        self._emit(piece)
