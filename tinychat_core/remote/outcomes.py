# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What a backend yields while it answers, and the ways in which it can fail to."""

from __future__ import annotations

from dataclasses import dataclass

from tinychat_core.errors import TinyChatError
from tinychat_core.serving.results import ChatResult, Prefill, Queued, TokenLogprob
from tinychat_core.text.tool_calls.parser import Delta
from tinychat_core.text.tool_calls.tools import ToolCall


@dataclass(frozen=True)
class Piece:
    """
    The next piece of an answer; `new_tokens` counts all tokens so far, `tool_calls` are those that it completes.

    `logprobs`: of its tokens, from the local model alone.
    """

    delta: Delta
    new_tokens: int
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()


# A backend yields any number of these; the result is the last one. A result of a remote backend has no times.
Step = Queued | Prefill | Piece | ChatResult


class NotAnswered(TinyChatError):
    """The backend has not answered, or not to the end. Before the first token, another one can be asked."""


class Unable(NotAnswered):
    """The backend cannot answer this request; it can answer others."""


class Busy(NotAnswered):
    """The backend wants no requests for `seconds`."""

    def __init__(self, message: str, seconds: float) -> None:
        """Take a message, and how long to wait."""
        super().__init__(message)
        self.seconds = seconds


class Failed(NotAnswered):
    """The backend does not work; `is_certain`: the next request would fail as well."""

    def __init__(self, message: str, is_certain: bool = False) -> None:
        """Take a message."""
        super().__init__(message)
        self.is_certain = is_certain
