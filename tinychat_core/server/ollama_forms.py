# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Answers in the format of Ollama's API: whole, and as lines of JSON."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timezone
from typing import Any

import msgspec

from tinychat_core.server.errors import ApiError
from tinychat_core.server.openai_forms import finish_reason, token_logprob
from tinychat_core.serving.results import ChatResult, FinishReason, TextDelta, TokenLogprob, ToolCall


def now() -> str:
    """Return the time as Ollama writes it."""
    return datetime.now(timezone.utc).isoformat().replace('+00:00', 'Z')


class OllamaForm(ABC):
    """The common part of the answers to both kinds of requests."""

    media_type = 'application/x-ndjson'
    keep_alive = b''  # every line would be a piece of the answer

    def __init__(self, model: str) -> None:
        """Start an answer of this model."""
        self.model = model

    def begin(self, choice: int) -> Iterable[bytes]:
        """Return nothing."""
        return ()

    def delta(self, choice: int, delta: TextDelta) -> Iterator[bytes]:
        """Return a piece of the answer."""
        if delta.text or delta.thought or delta.tool_calls or delta.logprobs:
            yield self._line({**self.content(delta.text, delta.thought, delta.tool_calls), **_logprobs(delta.logprobs),
                              'done': False})

    def end(self, choice: int, result: ChatResult) -> Iterator[bytes]:
        """Return the reason for the end, and statistics."""
        yield self._line({**self.content(''), **_figures(result)})

    def close(self, results: Sequence[ChatResult]) -> Iterable[bytes]:
        """Return nothing."""
        return ()

    def error(self, error: ApiError) -> Iterator[bytes]:
        """Return the end of a stream that has failed."""
        yield msgspec.json.encode(error.ollama()) + b'\n'

    def whole(self, results: Sequence[ChatResult]) -> dict[str, Any]:
        """Return the whole answer."""
        (result,) = results
        return {'model': self.model, 'created_at': now(),
                **self.content(result.text, result.thoughts, result.tool_calls), **_logprobs(result.logprobs),
                **_figures(result)}

    @abstractmethod
    def content(self, text: str, thoughts: str = '', calls: Sequence[ToolCall] = ()) -> dict[str, Any]:
        """Return the fields with these parts of the answer."""

    def _line(self, more: dict[str, Any]) -> bytes:
        return msgspec.json.encode({'model': self.model, 'created_at': now(), **more}) + b'\n'


class OllamaChatForm(OllamaForm):
    """POST /api/chat."""

    def content(self, text: str, thoughts: str = '', calls: Sequence[ToolCall] = ()) -> dict[str, Any]:
        """Return the message."""
        message: dict[str, Any] = {'role': 'assistant', 'content': text}
        if thoughts:
            message['thinking'] = thoughts
        if calls:
            message['tool_calls'] = [{'function': {
                'name': call.name, 'arguments': msgspec.Raw(call.arguments.encode())}} for call in calls]
        return {'message': message}


class OllamaGenerateForm(OllamaForm):
    """POST /api/generate."""

    def content(self, text: str, thoughts: str = '', calls: Sequence[ToolCall] = ()) -> dict[str, Any]:
        """Return the text and the thoughts."""
        return {'response': text, **({'thinking': thoughts} if thoughts else {})}


def _logprobs(logprobs: Sequence[TokenLogprob]) -> dict[str, Any]:
    if not logprobs:
        return {}
    return {'logprobs': [{**token_logprob(each), **({'top_logprobs': [token_logprob(other) for other in each.top]}
                                                    if each.top else {})} for each in logprobs]}


def _figures(result: ChatResult) -> dict[str, Any]:
    """Return the statistics at the end of an answer; durations in nanoseconds."""
    decoding = (result.new_tokens - 1) / result.tokens_per_second if result.tokens_per_second else 0.0
    seconds = {'total_duration': result.queue_time + result.time_to_first_token + decoding, 'load_duration': 0.0,
               'prompt_eval_duration': result.time_to_first_token, 'eval_duration': decoding}
    # Ollama has no separate reason for calls.
    reason = 'stop' if result.finish_reason is FinishReason.TOOL_CALLS else finish_reason(result)
    return {'done': True, 'done_reason': reason, 'prompt_eval_count': result.prompt_tokens,
            'eval_count': result.new_tokens, **{name: round(value * 1e9) for name, value in seconds.items()}}
