# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
The events of OpenAI's stream as pieces of an answer.

Format: https://platform.openai.com/docs/api-reference/chat-streaming, and server-sent events as in
https://html.spec.whatwg.org/multipage/server-sent-events.html. A server is not trusted: everything is bounded and
checked.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Any

import msgspec

from tinychat_core.errors import InvalidParameterError, shown
from tinychat_core.remote.outcomes import Failed, Piece
from tinychat_core.serving.requests import ChatRequest, MAX_ID_CHARACTERS
from tinychat_core.serving.results import CallDelta, ChatResult, Ending, ErrorCode, FinishReason
from tinychat_core.text.thoughts import ThoughtMarks
from tinychat_core.text.tool_calls.grammar import AnswerParts
from tinychat_core.text.tool_calls.parser import AnswerParser, Delta
from tinychat_core.text.tool_calls.tools import check_arguments, MAX_CALLS, ToolCall

MAX_LINE = 1 << 20  # bytes
MAX_CHARACTERS = 1 << 23  # of an answer
_DONE = b'[DONE]'
# A server without a parser for thoughts leaves them in the text, between these marks.
_THOUGHTS = AnswerParts(thoughts=ThoughtMarks('<think>', '</think>'))


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _Call(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Content(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None  # the same, in newer versions of vLLM
    tool_calls: list[_Call] | None = None
    refusal: str | None = None


class _Choice(msgspec.Struct):
    delta: _Content | None = None
    finish_reason: str | None = None


class _CachedTokens(msgspec.Struct):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _CachedTokens | None = None


class _Event(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None


_EVENT = msgspec.json.Decoder(_Event)


async def data_lines(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Yield the data of each event; Failed for a line of more than MAX_LINE bytes."""
    rest = b''
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b'\n')
        for line in lines:
            if line.startswith(b'data:'):
                yield line[5:].strip()
        if len(rest) > MAX_LINE:
            raise Failed('its stream has a line that is too long')


@dataclass
class _PartialCall:
    id: str
    name: str
    arguments: str = ''


class AnswerReader:
    """Reads the events of one answer; `result` is set once the answer is complete."""

    def __init__(self, request: ChatRequest, seed: int) -> None:
        """Begin an answer to a request; `seed` is the one that was sent."""
        self.result: ChatResult | None = None
        self._request = request
        self._seed = seed
        self._parser = AnswerParser(_THOUGHTS)
        self._thoughts = ''
        self._calls: list[_PartialCall] = []
        self._done: list[ToolCall] = []
        self._usage = _Usage()
        self._count = 0
        self._characters = 0
        self._reason = ''

    @property
    def is_complete(self) -> bool:
        """Whether the server has said how the answer ends; only the token counts may follow."""
        return bool(self._reason)

    def push(self, data: bytes) -> Piece | None:
        """Take the data of an event, and return what it adds; Failed if it is not what the API defines."""
        if data == _DONE:
            return self.finish()
        try:
            event = _EVENT.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise Failed(f'its stream has an event that is not of the API: {shown(data[:80].decode("latin-1"))}'
                         ) from None
        if event.error is not None:
            raise Failed(f'an error in its stream: {error_text(event.error)}')
        if event.usage is not None:
            self._usage = event.usage
        if not event.choices or self._reason:
            return None
        if self._count > self._request.params.max_new_tokens:  # a server that ignores max_tokens
            self._reason = 'length'
            return self.finish()
        choice = event.choices[0]
        piece = self._content(choice.delta) if choice.delta is not None else None
        if choice.finish_reason:
            self._reason = choice.finish_reason
            return self._merged(piece, self._complete(len(self._calls)), self._count)
        return piece

    def finish(self) -> Piece | None:
        """End the answer, and return what was held back; Failed if it is not complete."""
        if self.result is not None:
            return None
        if not self._reason:
            raise Failed('its stream has ended before the answer')
        rest = self._parser.finish()
        ending = self._ending()
        usage, details = self._usage, self._usage.prompt_tokens_details
        new_tokens = usage.completion_tokens or self._count
        self.result = ChatResult(
            self._parser.text, ending.finish_reason, ending.error_code, ending.message,
            prompt_tokens=_bounded(usage.prompt_tokens), new_tokens=_bounded(new_tokens), seed=self._seed,
            reused_tokens=_bounded(details.cached_tokens) if details else 0,
            thoughts=self._thoughts + self._parser.thoughts, tool_calls=tuple(self._done))
        return Piece(rest, self._count) if rest.text or rest.thought else None

    def _content(self, content: _Content) -> Piece | None:
        thought = content.reasoning_content or content.reasoning or ''
        text = content.content or ''
        if not (thought or text or content.tool_calls):
            return None
        self._count += 1
        self._characters += len(thought) + len(text)
        if self._characters > MAX_CHARACTERS:
            raise Failed(f'its answer has more than {MAX_CHARACTERS} characters')
        self._thoughts += thought
        delta = self._parser.push(text) if text else Delta()
        completed: tuple[ToolCall, ...] = ()
        calls: list[CallDelta] = []
        for call in content.tool_calls or ():
            done = self._call(call)
            completed += tuple(call for _, call in done)
            calls += [_whole(index, call) for index, call in done]
        return Piece(Delta(delta.text, thought + delta.thought, tuple(calls)), self._count, completed)

    def _call(self, call: _Call) -> list[tuple[int, ToolCall]]:
        """Take a piece of a call; return the calls before it that it shows to be complete."""
        function = call.function or _Function()
        index = len(self._calls) - 1 if call.index is None else call.index
        done: list[tuple[int, ToolCall]] = []
        begins = index == len(self._calls) or (call.index is None and bool(call.id))
        if begins:
            done = self._complete(len(self._calls))
            if len(self._calls) == MAX_CALLS:
                raise Failed(f'its answer has more than {MAX_CALLS} tool calls')
            index = len(self._calls)
            name = call.id or ''
            is_usable = name.isprintable() and 1 <= len(name) <= MAX_ID_CHARACTERS
            self._calls.append(_PartialCall(name if is_usable else f'call{index:05d}', function.name or ''))
        elif not 0 <= index < len(self._calls) or index < len(self._done):
            raise Failed(f'its stream has tool call {index} out of order')
        partial = self._calls[index]
        if not begins and function.name and not partial.name:
            partial.name = function.name
        partial.arguments += function.arguments or ''
        self._characters += len(function.arguments or '')
        return done

    def _complete(self, count: int) -> list[tuple[int, ToolCall]]:
        """Check the first `count` calls, and return those that were not returned before."""
        done: list[tuple[int, ToolCall]] = []
        if self._reason in ('length', 'content_filter'):
            return done  # cut off
        for index in range(len(self._done), count):
            partial = self._calls[index]
            if partial.name not in {tool.name for tool in self._request.tools.callable}:
                raise Failed(f'it calls {shown(partial.name)}, which is not among the tools')
            try:
                check_arguments(partial.arguments, 'arguments')
            except InvalidParameterError as error:
                raise Failed(f'its call of {partial.name}: {error}') from None
            call = ToolCall(partial.id, partial.name, partial.arguments or '{}')
            self._done.append(call)
            done.append((index, call))
        return done

    @staticmethod
    def _merged(piece: Piece | None, done: list[tuple[int, ToolCall]], count: int) -> Piece | None:
        if not done:
            return piece
        delta = piece.delta if piece else Delta()
        calls = tuple(_whole(index, call) for index, call in done)
        return Piece(Delta(delta.text, delta.thought, delta.calls + calls), count,
                     (piece.tool_calls if piece else ()) + tuple(call for _, call in done))

    def _ending(self) -> Ending:
        reason = self._reason
        if reason == 'content_filter':
            return Ending.aborted(ErrorCode.REMOTE_FAILED, 'the server withheld the answer (content_filter)')
        if reason == 'length':
            if self._request.params.json_schema or len(self._done) < len(self._calls):
                return Ending.aborted(ErrorCode.STRUCTURE_INCOMPLETE, 'the answer was cut off before it matched')
            return Ending(FinishReason.LENGTH)
        if self._done:
            return Ending(FinishReason.TOOL_CALLS)
        if self._request.tools.is_required:
            raise Failed('its answer has no tool call, and one is required')
        if reason in ('stop', 'eos'):
            return Ending(FinishReason.STOP)
        raise Failed(f'its answer ended for an unknown reason: {shown(reason)}')


def _bounded(count: int | None) -> int:
    return min(max(count or 0, 0), 2**31 - 1)  # it must fit into a message


def _whole(index: int, call: ToolCall) -> CallDelta:
    return CallDelta(index, call.arguments, call.id, call.name, is_complete=True)


def error_text(error: Any) -> str:
    """Return the message of an error object, or of whatever stands for it, as a short text."""
    if isinstance(error, dict):
        for name in ('error', 'message', 'detail', 'msg'):
            if error.get(name):
                return error_text(error[name])
    return shown(error)
