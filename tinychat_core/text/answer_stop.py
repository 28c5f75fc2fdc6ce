# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The stop texts of an answer: they end its text, and do not count within thoughts and tool calls."""
from __future__ import annotations

from collections.abc import Sequence

from tinychat_core.text.stop import StopText
from tinychat_core.text.tool_calls.grammar import AnswerParts
from tinychat_core.text.tool_calls.parser import AnswerParser


class AnswerStop:
    """Hands out a stream as StopText does; everything after the first tool call belongs to the calls."""

    def __init__(self, turn_ends: Sequence[str], stop: Sequence[str], parts: AnswerParts | None = None) -> None:
        """Take the texts that end a turn of the model, which count everywhere, and those of the request."""
        has_parts = parts is not None and (parts.thoughts is not None or bool(parts.use.callable))
        self._parser = AnswerParser(parts) if parts is not None and has_parts and stop else None
        self._turn_ends = StopText(turn_ends if self._parser else (*turn_ends, *stop))
        self._stop = StopText(stop if self._parser else ())
        self._has_thought = self._parser is not None and self._parser.is_thinking

    @property
    def is_complete(self) -> bool:
        """Whether a stop text has ended the answer."""
        return self._turn_ends.is_complete or self._stop.is_complete

    def push(self, piece: str) -> str:
        """Return what is certain to belong to the answer; nothing once a stop text is complete."""
        return self._of_parts(self._turn_ends.push(piece))

    def finish(self) -> str:
        """Return what was held back: the stream is over, so it did not become a stop text."""
        return self._of_parts(self._turn_ends.finish()) + self._stop.finish()

    def _of_parts(self, piece: str) -> str:
        return piece if self._parser is None else ''.join(map(self._next, piece))

    def _next(self, character: str) -> str:
        if self._stop.is_complete:
            return ''
        # White space after a thought is not text yet.
        if self._is_in_text(character):
            return self._stop.push(character)
        return self._stop.finish() + character

    def _is_in_text(self, character: str) -> bool:
        parser = self._parser
        assert parser is not None
        was_outside = not (parser.is_thinking or parser.is_calling)
        parser.push(character)
        self._has_thought |= parser.is_thinking
        is_space_after_thought = self._has_thought and not parser.text and character.isspace()
        return (was_outside and not (parser.is_thinking or parser.is_calling or parser.calls) and
                not is_space_after_thought)
