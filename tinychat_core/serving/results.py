# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The events of a request while it is served, and the result at its end."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, IntEnum

import numpy as np
import numpy.typing as npt

from tinychat_core.generation import TokenLogprob as TokenLogprob
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

    @property
    def has_failed(self) -> bool:
        """Whether the backend may have left wrong numbers in a KV cache, or the memory is needed."""
        return self.error_code in (ErrorCode.OUT_OF_MEMORY, ErrorCode.BACKEND_FAILED)


@dataclass(frozen=True)
class ChatResult:
    """
    The end of a request, and its statistics; all times are in seconds.

    `text` is the answer, or its part until the request ended, without `thoughts` and `tool_calls`. `tool_calls` has
    only complete calls. `reused_tokens` of `prompt_tokens` were found in a KV cache. `dropped_turns`: how many of the
    conversation's oldest turns no longer fit the context. `queue_time` is from acceptance to the start of the
    computation, `time_to_first_token` from there to the first token. `tokens_per_second` is the speed of decoding,
    without the prompt. `accepted_tokens` of `new_tokens` were guessed, and confirmed by the model. `served_by`: the
    backend that answered. A field is 0 or '' if the request ended before it.
    `logprobs`: one for each new token, if `top_logprobs` of the request is not None.
    """

    text: str
    finish_reason: FinishReason
    error_code: ErrorCode = ErrorCode.NONE
    error_message: str = ''
    prompt_tokens: int = 0
    image_tokens: int = 0
    reused_tokens: int = 0
    dropped_turns: int = 0
    new_tokens: int = 0
    accepted_tokens: int = 0
    seed: int = 0
    served_by: str = ''
    queue_time: float = 0.0
    image_time: float = 0.0
    time_to_first_token: float = 0.0
    tokens_per_second: float = 0.0
    thoughts: str = ''
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()

    def summary(self, seconds: float) -> str:
        """Return the end of the request as a part of a line for a log, without any text; `seconds`: from acceptance."""
        reason = f' ({self.error_code.name})' if self.error_code else ''
        return (f'{self.finish_reason.value}{reason}, {self.prompt_tokens} prompt tokens ({self.reused_tokens} '
                f'reused), {self.new_tokens} new, {seconds:.2f} s ({self.queue_time:.2f} s waiting)')


@dataclass(frozen=True)
class DecisionResult(ChatResult):
    """
    The probabilities of the options, in their order; their sum is 1.

    `best`: the index of the most likely option, -1 if the request ended early.
    `scores`: the log probability of each option as the beginning of the answer, divided by its number of tokens if the
    request says so. `entropy`: of the probabilities [nat].
    """

    best: int = -1
    probabilities: tuple[float, ...] = ()
    scores: tuple[float, ...] = ()
    entropy: float = 0.0


@dataclass(frozen=True)
class EmbeddingResult(ChatResult):
    """The vectors [texts, hidden_size] of the texts, in their order; none if the request ended early."""

    vectors: npt.NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))


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
    completes, as they would be spoken; empty if the request does not want sentences. `logprobs`: of the tokens since
    the last piece, as in ChatResult.
    """

    index: int
    new_tokens: int
    text: str
    sentences: tuple[str, ...] = ()
    thought: str = ''
    calls: tuple[CallDelta, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True)
class Finished:
    """The request has ended; `delta` is the last piece of its answer, possibly empty."""

    delta: TextDelta
    result: ChatResult


ChatEvent = Queued | Prefill | TextDelta | Finished
