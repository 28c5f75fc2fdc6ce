# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The choices of one HTTP request, sent whole or as a stream; a client that disconnects cancels them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
import logging
from time import monotonic
from typing import Any, Protocol

from fastapi import Response
import msgspec

from tinychat_core.errors import InvalidParameterError
from tinychat_core.server.errors import ApiError, of_invalid, of_refusal, of_result
from tinychat_core.serving.chat_handle import ChatHandle
from tinychat_core.serving.chat_service import ChatService
from tinychat_core.serving.requests import Refusal, Request
from tinychat_core.serving.results import ChatEvent, ChatResult, ErrorCode, Finished, TextDelta

# A client or a proxy may close a connection without traffic after half a minute.
KEEP_ALIVE = 10.0

_LOG = logging.getLogger(__name__)


class Form(Protocol):
    """
    The format of an API's answers; the pieces of a stream are sent without change.

    `choice` is the index of an answer among those to the same HTTP request; only OpenAI's API has several.
    """

    media_type: str  # of a stream
    keep_alive: bytes  # a piece without content, empty if the format has none

    def begin(self, choice: int) -> Iterable[bytes]:
        """Return the beginning of an answer."""

    def delta(self, choice: int, delta: TextDelta) -> Iterable[bytes]:
        """Return a piece of an answer."""

    def end(self, choice: int, result: ChatResult) -> Iterable[bytes]:
        """Return the end of an answer."""

    def close(self, results: Sequence[ChatResult]) -> Iterable[bytes]:
        """Return the end of a stream, after all its answers."""

    def error(self, error: ApiError) -> Iterable[bytes]:
        """Return the end of a stream that has failed."""

    def whole(self, results: Sequence[ChatResult]) -> dict[str, Any]:
        """Return the whole body of a response."""


class AnswerResponse(Response):
    """Submits requests and sends their answers; a client that disconnects cancels them, even during the prefill."""

    def __init__(self, service: ChatService, requests: Sequence[Request], form: Form, is_streamed: bool) -> None:
        """
        Take the requests, one for each choice; they are submitted when the response is sent.

        The service accepts or refuses the first one. The others then wait for their turn, even if the queue is full.
        """
        super().__init__()
        self._service = service
        self._requests = requests
        self._form = form
        self._is_streamed = is_streamed

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send the answer; raise ApiError, before anything is sent, if there is no answer."""
        events = _Events(scope['path'])
        try:
            handles = [self._service.submit(self._requests[0], partial(events.put, 0))]
        except Refusal as refusal:
            raise of_refusal(refusal) from None
        except InvalidParameterError as error:
            raise of_invalid(error, 'messages') from None
        handles += [self._service.submit(request, partial(events.put, i), is_accepted=True)
                    for i, request in enumerate(self._requests[1:], start=1)]
        watcher = asyncio.ensure_future(_cancel_on_disconnect(receive, handles))
        try:
            if self._is_streamed:
                await self._stream(events, send)
            else:
                await self._whole(events, scope, receive, send)
        finally:
            watcher.cancel()
            _cancel(handles)  # if a choice has failed, or the server stops this task before the end

    async def _whole(self, events: _Events, scope: Any, receive: Any, send: Any) -> None:
        results: dict[int, ChatResult] = {}
        while len(results) < len(self._requests):
            choice, event = await events.next()
            if isinstance(event, Finished):
                error = of_result(event.result)
                if error is not None:
                    raise error
                results[choice] = event.result
        content = msgspec.json.encode(self._form.whole(_in_order(results)))
        await Response(content, media_type='application/json')(scope, receive, send)

    async def _stream(self, events: _Events, send: Any) -> None:
        choice, event = await events.next(KEEP_ALIVE)
        if isinstance(event, Finished):  # nothing has been sent, so an error can still set the status
            error = of_result(event.result)
            if error is not None:
                raise error
        headers = [(b'content-type', self._form.media_type.encode()), (b'cache-control', b'no-cache'),
                   (b'x-accel-buffering', b'no')]
        await send({'type': 'http.response.start', 'status': 200, 'headers': headers})

        async def put(pieces: Iterable[bytes], more: bool = True) -> None:
            body = b''.join(pieces)
            if body or not more:
                await send({'type': 'http.response.body', 'body': body, 'more_body': more})

        form, results = self._form, dict[int, ChatResult]()
        for each in range(len(self._requests)):
            await put(form.begin(each))
        while True:
            if event is None:
                await put([form.keep_alive])
            elif isinstance(event, TextDelta):
                await put(form.delta(choice, event))
            else:
                await put(form.delta(choice, event.delta))
                error = of_result(event.result)
                if error is not None:
                    await put(form.error(error), more=False)
                    return
                await put(form.end(choice, event.result))
                results[choice] = event.result
                if len(results) == len(self._requests):
                    await put(form.close(_in_order(results)), more=False)
                    return
            choice, event = await events.next(KEEP_ALIVE)


class _Events:
    """Passes the events of choices, text and ends, from the service's threads to the event loop; logs the ends."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._accepted_at = monotonic()
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[tuple[int, TextDelta | Finished]] = asyncio.Queue()

    def put(self, choice: int, event: ChatEvent) -> None:
        if isinstance(event, Finished):
            result = event.result
            if result.error_code is ErrorCode.BACKEND_FAILED:
                _LOG.error('%s', result.error_message)
            _LOG.info('%s: %s', self._path, result.summary(monotonic() - self._accepted_at))
        if isinstance(event, (TextDelta, Finished)):
            self._loop.call_soon_threadsafe(self._queue.put_nowait, (choice, event))

    async def next(self, timeout: float | None = None) -> tuple[int, TextDelta | Finished | None]:
        """Return the next event and its choice; the event is None after `timeout` seconds."""
        try:
            return await asyncio.wait_for(self._queue.get(), timeout)
        except asyncio.TimeoutError:
            return 0, None


async def _cancel_on_disconnect(receive: Any, handles: Sequence[ChatHandle]) -> None:
    while (await receive())['type'] != 'http.disconnect':
        pass
    _cancel(handles)


def _cancel(handles: Sequence[ChatHandle]) -> None:
    for handle in handles:
        handle.cancel()


def _in_order(results: Mapping[int, ChatResult]) -> list[ChatResult]:
    return [results[choice] for choice in range(len(results))]
