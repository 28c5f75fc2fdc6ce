# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What a goal has got so far, from whichever backend, and its result."""

from __future__ import annotations

from dataclasses import replace
from time import monotonic

from tinychat_core.remote.outcomes import Piece
from tinychat_core.serving.results import ChatResult, Ending
from tinychat_core.text.tool_calls.tools import ToolCall


class AnswerSoFar:
    """The parts of the answer, and the times of the goal; `served_by` is the backend that answers."""

    def __init__(self, accepted_at: float) -> None:
        """Begin without any text."""
        self.text = self.thoughts = ''
        self.tool_calls: list[ToolCall] = []
        self.new_tokens = 0
        self.served_by = ''
        self.begun_at: float | None = None
        self._earlier_tokens = 0  # of backends that did not come to the end
        self._accepted_at = accepted_at
        self._first = self._last = 0.0

    def begin(self) -> None:
        """Note that a backend has started to work; the first call counts."""
        if self.begun_at is None:
            self.begun_at = monotonic()

    def add(self, piece: Piece) -> None:
        """Add a piece."""
        self._last = monotonic()
        if not self.new_tokens:
            self._first = self._last
        self.text += piece.delta.text
        self.thoughts += piece.delta.thought
        self.tool_calls += piece.tool_calls
        self.new_tokens = max(self.new_tokens, self._earlier_tokens + piece.new_tokens, 1)

    def hand_over(self) -> None:
        """Note that another backend continues the answer."""
        self._earlier_tokens = self.new_tokens

    def ended(self, result: ChatResult) -> ChatResult:
        """Return the result of the goal, from that of the backend that came to its end."""
        new_tokens = max(self._earlier_tokens + result.new_tokens, self.new_tokens)
        return self._timed(replace(result, text=self.text, thoughts=self.thoughts, new_tokens=new_tokens,
                                   tool_calls=tuple(self.tool_calls)))

    def cut_off(self, ending: Ending) -> ChatResult:
        """Return the result of a goal that ends here."""
        return self._timed(ChatResult(
            self.text, ending.finish_reason, ending.error_code, ending.message, new_tokens=self.new_tokens,
            served_by=self.served_by, thoughts=self.thoughts, tool_calls=tuple(self.tool_calls)))

    @staticmethod
    def with_ending(result: ChatResult, ending: Ending) -> ChatResult:
        """Return a result with another ending."""
        return replace(result, finish_reason=ending.finish_reason, error_code=ending.error_code,
                       error_message=ending.message)

    def _timed(self, result: ChatResult) -> ChatResult:
        begun = monotonic() if self.begun_at is None else self.begun_at
        seconds = self._last - self._first
        return replace(result, queue_time=begun - self._accepted_at,
                       time_to_first_token=self._first - begun if self.new_tokens else 0.0,
                       tokens_per_second=(result.new_tokens - 1) / seconds if seconds > 0 else 0.0)
