# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The text of one answer on its way out: joined into pieces, numbered, and closed exactly once."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from tinychat_core.serving.results import FinishReason, TextDelta
from tinychat_core.speech.spoken_text import SpokenText


class TokenStream:
    """
    Joins what is pushed within `period` seconds of the piece before into one; the first goes out at once.

    A message costs a robot's core a quarter of a millisecond; at 400 tokens/s that would be a tenth of it. Where
    `speech` is set, each piece also carries the sentences that it completes.
    """

    def __init__(self, emit: Callable[[TextDelta], None], period: float) -> None:
        """Send pieces to `emit`."""
        self.speech: SpokenText | None = None
        self._emit = emit
        self._period = period
        self._index = 0
        self._held = ''
        self._sent_at = -float('inf')

    def push(self, text: str, new_tokens: int) -> None:
        """Take the text of a token; `new_tokens` counts all so far."""
        self._held += text
        if not self._held:
            return
        now = monotonic()
        if now - self._sent_at >= self._period:
            self._emit(self._next(new_tokens, self._spoken()))
            self._sent_at = now

    def close(self, new_tokens: int, finish_reason: FinishReason) -> TextDelta:
        """Return what is held back, as the last piece; call it once."""
        sentences = self._spoken()
        # Someone who has interrupted the robot does not want to hear half a sentence more.
        if self.speech is not None and finish_reason in (FinishReason.STOP, FinishReason.LENGTH):
            sentences += self.speech.finish()
        del self._emit  # the receiver holds this, and both would wait for the garbage collector
        return self._next(new_tokens, sentences)

    def _spoken(self) -> list[str]:
        return [] if self.speech is None else self.speech.push(self._held)

    def _next(self, new_tokens: int, sentences: list[str]) -> TextDelta:
        delta = TextDelta(self._index, new_tokens, self._held, tuple(sentences))
        self._index += 1
        self._held = ''
        return delta
