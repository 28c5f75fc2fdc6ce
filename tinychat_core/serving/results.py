# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The events of a request while it is served, and the result at its end."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum

from tinychat_core.text.tool_calls.parser import CallDelta as CallDelta
from tinychat_core.text.tool_calls.tools import ToolCall as ToolCall

LOCAL = 'local'  # `served_by` of answers that this machine computed


class FinishReason(str, Enum):
    """How a request ended. The values are those of the Chat action's result."""

    STOP = 'stop'
    LENGTH = 'length'
    TOOL_CALLS = 'tool_calls'
    CANCELED = 'canceled'
    ABORTED = 'aborted'


class ErrorCode(IntEnum):
    """Why a request was aborted. Names and values are those of the Chat action's result."""

    NONE = 0
    INVALID_GOAL = 1
    PROMPT_TOO_LONG = 2
    PREEMPTED = 3
    TIME_LIMIT = 4
    DEACTIVATED = 5
    STRUCTURE_INCOMPLETE = 6
    OUT_OF_MEMORY = 7
    BACKEND_FAILED = 8
    CLIENT_LOST = 9
    NO_IMAGE = 10
    REMOTE_FAILED = 11
    UNKNOWN = 999


@dataclass(frozen=True)
class Ending:
    """How a request ends; `message` says why if `error_code` is not NONE."""

    finish_reason: FinishReason
    error_code: ErrorCode = ErrorCode.NONE
    message: str = ''

    @classmethod
    def aborted(cls, error_code: ErrorCode, message: str) -> Ending:
        """Return the ending of a request that could not be answered."""
        return cls(FinishReason.ABORTED, error_code, message)


@dataclass(frozen=True)
class ChatResult:
    """
    The end of a request, and its statistics; all times are in seconds.

    `text` is the answer, or its part until the request ended, without `thoughts` and `tool_calls`. `tool_calls` has
    only complete calls. `reused_tokens` of `prompt_tokens` were found in a KV cache. `dropped_turns`: how many of the
    conversation's oldest turns no longer fit the context. `queue_time` is from acceptance to the start of the
    computation, `time_to_first_token` from there to the first token. `tokens_per_second` is the speed of decoding,
    without the prompt. `served_by`: the backend that answered. A field is 0 or '' if the request ended before it.
    """

    text: str
    finish_reason: FinishReason
    error_code: ErrorCode = ErrorCode.NONE
    error_message: str = ''
    prompt_tokens: int = 0
    reused_tokens: int = 0
    dropped_turns: int = 0
    new_tokens: int = 0
    seed: int = 0
    served_by: str = ''
    queue_time: float = 0.0
    time_to_first_token: float = 0.0
    tokens_per_second: float = 0.0
    thoughts: str = ''
    tool_calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True)
class Queued:
    """The request waits; `ahead` other requests run or wait before it."""

    ahead: int


@dataclass(frozen=True)
class Prefill:
    """The request runs, and this fraction of its prompt has been read, 0 .. 1."""

    progress: float


@dataclass(frozen=True)
class TextDelta:
    """
    The next piece of the answer.

    `index` counts the pieces from 0, `new_tokens` all tokens so far. `thought` and `calls` are what the piece adds to
    the thoughts and to tool calls. `tool_calls` are the calls that it completes, `sentences` the sentences that it
    completes, as they would be spoken; empty if the request does not want sentences.
    """

    index: int
    new_tokens: int
    text: str
    sentences: tuple[str, ...] = ()
    thought: str = ''
    calls: tuple[CallDelta, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True)
class Finished:
    """The request has ended; `delta` is the last piece of its answer, possibly empty."""

    delta: TextDelta
    result: ChatResult


ChatEvent = Queued | Prefill | TextDelta | Finished
