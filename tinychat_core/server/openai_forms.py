# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Answers in the words of OpenAI's API: whole, and as server-sent events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from time import time
from typing import Any
from uuid import uuid4

import msgspec

from tinychat_core.server.errors import ApiError
from tinychat_core.serving.results import ChatResult, ErrorCode, TextDelta

DONE = b'data: [DONE]\n\n'


def finish_reason(result: ChatResult) -> str:
    """Return why an answer ended; one that was cut off before it matched its schema has used up its length."""
    return 'length' if result.error_code is ErrorCode.STRUCTURE_INCOMPLETE else result.finish_reason.value


def usage(result: ChatResult) -> dict[str, Any]:
    """Return the tokens of a request; those found in a KV cache count as cached."""
    return {'prompt_tokens': result.prompt_tokens, 'completion_tokens': result.new_tokens,
            'total_tokens': result.prompt_tokens + result.new_tokens,
            'prompt_tokens_details': {'cached_tokens': result.reused_tokens}}


class _Form:
    """What the answers of both kinds of completions have in common."""

    media_type = 'text/event-stream'
    keep_alive = b': still working\n\n'
    prefix = object = chunk_object = ''

    def __init__(self, model: str, include_usage: bool) -> None:
        """Begin an answer of this model; `include_usage`: a stream ends with the tokens of the request."""
        self._head = {'id': f'{self.prefix}-{uuid4().hex}', 'created': int(time()), 'model': model}
        self._include_usage = include_usage

    def begin(self) -> Iterable[bytes]:
        """Return what comes before the text."""
        return ()

    def end(self, result: ChatResult) -> Iterator[bytes]:
        """Return the reason for the end, the tokens where they are wanted, and the mark of the end."""
        yield self._event([self._piece('', finish_reason(result))])
        if self._include_usage:
            yield self._event([], usage=usage(result))
        yield DONE

    def delta(self, delta: TextDelta) -> Iterator[bytes]:
        """Return a piece of the text."""
        if delta.text:
            yield self._event([self._piece(delta.text, None)])

    def error(self, error: ApiError) -> Iterator[bytes]:
        """Return the end of a stream that has failed."""
        yield _data(error.openai())
        yield DONE

    def whole(self, result: ChatResult) -> dict[str, Any]:
        """Return the whole answer."""
        choice = {'index': 0, **self._content(result), 'logprobs': None, 'finish_reason': finish_reason(result)}
        return {**self._head, 'object': self.object, 'choices': [choice], 'usage': usage(result)}

    def _content(self, result: ChatResult) -> dict[str, Any]:
        raise NotImplementedError

    def _piece(self, text: str, reason: str | None) -> dict[str, Any]:
        raise NotImplementedError

    def _event(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        if self._include_usage and not more:
            more = {'usage': None}
        return _data({**self._head, 'object': self.chunk_object, 'choices': choices, **more})


class ChatForm(_Form):
    """POST /v1/chat/completions."""

    prefix, object, chunk_object = 'chatcmpl', 'chat.completion', 'chat.completion.chunk'

    def begin(self) -> Iterator[bytes]:
        """Return who speaks."""
        yield self._event([{'index': 0, 'delta': {'role': 'assistant', 'content': ''}, 'logprobs': None,
                            'finish_reason': None}])

    def _content(self, result: ChatResult) -> dict[str, Any]:
        return {'message': {'role': 'assistant', 'content': result.text, 'refusal': None}}

    def _piece(self, text: str, reason: str | None) -> dict[str, Any]:
        return {'index': 0, 'delta': {'content': text} if text else {}, 'logprobs': None, 'finish_reason': reason}


class CompletionForm(_Form):
    """POST /v1/completions."""

    prefix, object, chunk_object = 'cmpl', 'text_completion', 'text_completion'

    def _content(self, result: ChatResult) -> dict[str, Any]:
        return {'text': result.text}

    def _piece(self, text: str, reason: str | None) -> dict[str, Any]:
        return {'index': 0, 'text': text, 'logprobs': None, 'finish_reason': reason}


def _data(value: dict[str, Any]) -> bytes:
    return b'data: ' + msgspec.json.encode(value) + b'\n\n'
