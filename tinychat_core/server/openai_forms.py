# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Answers in the format of OpenAI's API: whole, and as server-sent events."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from time import time
from typing import Any, ClassVar
from uuid import uuid4

import msgspec

from tinychat_core.server.errors import ApiError
from tinychat_core.serving.results import CallDelta, ChatResult, ErrorCode, TextDelta, TokenLogprob

DONE = b'data: [DONE]\n\n'


def finish_reason(result: ChatResult) -> str:
    """Return why an answer ended; 'length' if it was cut off before it matched its schema."""
    return 'length' if result.error_code is ErrorCode.STRUCTURE_INCOMPLETE else result.finish_reason.value


def usage(results: Sequence[ChatResult]) -> dict[str, Any]:
    """Return the token counts of a request, whose choices have one prompt; tokens found in a KV cache are cached."""
    first, new_tokens = results[0], sum(result.new_tokens for result in results)
    return {'prompt_tokens': first.prompt_tokens, 'completion_tokens': new_tokens,
            'total_tokens': first.prompt_tokens + new_tokens,
            'prompt_tokens_details': {'cached_tokens': first.reused_tokens}}


class _Form(ABC):
    """The common part of the answers to both kinds of completions."""

    media_type = 'text/event-stream'
    keep_alive = b': still working\n\n'
    prefix = object = chunk_object = ''
    _nothing: ClassVar[dict[str, Any]] = {}  # content of the last piece

    def __init__(self, model: str, include_usage: bool) -> None:
        """Start an answer of this model; `include_usage`: a stream ends with the token counts of the request."""
        self._head = {'id': f'{self.prefix}-{uuid4().hex}', 'created': int(time()), 'model': model}
        self._include_usage = include_usage

    def begin(self, choice: int) -> Iterable[bytes]:
        """Return the beginning of an answer."""
        return ()

    def end(self, choice: int, result: ChatResult) -> Iterator[bytes]:
        """Return the reason for the end of an answer."""
        yield self._event([self._piece(choice, self._nothing, finish_reason(result))])

    def close(self, results: Sequence[ChatResult]) -> Iterator[bytes]:
        """Return the token counts if requested, and the mark of the end."""
        if self._include_usage:
            yield self._event([], usage=usage(results))
        yield DONE

    def error(self, error: ApiError) -> Iterator[bytes]:
        """Return the end of a stream that has failed."""
        yield _data(error.openai())
        yield DONE

    def whole(self, results: Sequence[ChatResult]) -> dict[str, Any]:
        """Return all choices."""
        choices = [self._piece(i, self._content(result), finish_reason(result), result.logprobs)
                   for i, result in enumerate(results)]
        return {**self._head, 'object': self.object, 'choices': choices, 'usage': usage(results)}

    @abstractmethod
    def _content(self, result: ChatResult) -> dict[str, Any]:
        """Return the fields of a choice that hold the whole answer."""

    @abstractmethod
    def _logprobs(self, choice: int, logprobs: Sequence[TokenLogprob]) -> dict[str, Any] | None:
        """Return the log probabilities of the next tokens of a choice; None for none."""

    def _piece(self, choice: int, piece: dict[str, Any], reason: str | None,
               logprobs: Sequence[TokenLogprob] = ()) -> dict[str, Any]:
        return {'index': choice, **piece, 'logprobs': self._logprobs(choice, logprobs), 'finish_reason': reason}

    def _event(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        if self._include_usage and not more:
            more = {'usage': None}
        return _data({**self._head, 'object': self.chunk_object, 'choices': choices, **more})


class ChatForm(_Form):
    """POST /v1/chat/completions."""

    prefix, object, chunk_object = 'chatcmpl', 'chat.completion', 'chat.completion.chunk'
    _nothing: ClassVar[dict[str, Any]] = {'delta': {}}

    def begin(self, choice: int) -> Iterator[bytes]:
        """Return the piece with the role."""
        yield self._event([self._piece(choice, {'delta': {'role': 'assistant', 'content': ''}}, None)])

    def delta(self, choice: int, delta: TextDelta) -> Iterator[bytes]:
        """Return a piece of the answer: text, thoughts and calls."""
        piece: dict[str, Any] = {}
        if delta.thought:
            piece['reasoning_content'] = delta.thought
        if delta.text:
            piece['content'] = delta.text
        calls = [_call_delta(call) for call in delta.calls if call.id or call.arguments]
        if calls:
            piece['tool_calls'] = calls
        if piece or delta.logprobs:
            yield self._event([self._piece(choice, {'delta': piece}, None, delta.logprobs)])

    def _content(self, result: ChatResult) -> dict[str, Any]:
        message: dict[str, Any] = {'role': 'assistant', 'content': result.text, 'refusal': None}
        if result.thoughts:
            message['reasoning_content'] = result.thoughts
        if result.tool_calls:
            message['content'] = result.text or None
            message['tool_calls'] = [{'id': call.id, 'type': 'function', 'function': {
                'name': call.name, 'arguments': call.arguments}} for call in result.tool_calls]
        return {'message': message}

    def _logprobs(self, choice: int, logprobs: Sequence[TokenLogprob]) -> dict[str, Any] | None:
        if not logprobs:
            return None
        return {'content': [{**token_logprob(each), 'top_logprobs': [token_logprob(other) for other in each.top]}
                            for each in logprobs], 'refusal': None}


class CompletionForm(_Form):
    """POST /v1/completions."""

    prefix, object, chunk_object = 'cmpl', 'text_completion', 'text_completion'
    _nothing: ClassVar[dict[str, Any]] = {'text': ''}

    def __init__(self, model: str, include_usage: bool) -> None:
        """Take the same as ChatForm."""
        super().__init__(model, include_usage)
        self._offsets: Counter[int] = Counter()  # characters of the tokens of each choice so far

    def delta(self, choice: int, delta: TextDelta) -> Iterator[bytes]:
        """Return a piece of an answer."""
        if delta.text or delta.logprobs:
            yield self._event([self._piece(choice, {'text': delta.text}, None, delta.logprobs)])

    def _content(self, result: ChatResult) -> dict[str, Any]:
        return {'text': result.text}

    def _logprobs(self, choice: int, logprobs: Sequence[TokenLogprob]) -> dict[str, Any] | None:
        if not logprobs:
            return None
        offsets = []
        for each in logprobs:
            offsets.append(self._offsets[choice])
            self._offsets[choice] += len(each.piece.decode(errors='ignore'))
        return {'tokens': [_unique_text(each) for each in logprobs],
                'token_logprobs': [each.logprob for each in logprobs],
                'top_logprobs': [{_unique_text(other): other.logprob for other in each.top} for each in logprobs],
                'text_offset': offsets}


def token_logprob(of: TokenLogprob) -> dict[str, Any]:
    """Return a token with its log probability; `bytes` also tells parts of characters."""
    return {'token': of.piece.decode(errors='replace'), 'logprob': of.logprob, 'bytes': [*of.piece]}


def _unique_text(of: TokenLogprob) -> str:
    """Return the text of a token; a part of a character as OpenAI writes it."""
    try:
        return of.piece.decode()
    except UnicodeDecodeError:
        return 'bytes:' + ''.join(f'\\x{byte:02x}' for byte in of.piece)


def _call_delta(call: CallDelta) -> dict[str, Any]:
    """Return a piece of a call; the first one has the id and the name."""
    if call.id:
        return {'index': call.index, 'id': call.id, 'type': 'function',
                'function': {'name': call.name, 'arguments': call.arguments}}
    return {'index': call.index, 'function': {'arguments': call.arguments}}


def _data(value: dict[str, Any]) -> bytes:
    return b'data: ' + msgspec.json.encode(value) + b'\n\n'
