# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The answer to one HTTP request, sent whole or as a stream; a client that disconnects cancels it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
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
    """The format of an API's answers; the pieces of a stream are sent without change."""

    media_type: str  # of a stream
    keep_alive: bytes  # a piece without content, empty if the format has none

    def begin(self) -> Iterable[bytes]:
        """Return the beginning of a stream, before the answer."""

    def delta(self, delta: TextDelta) -> Iterable[bytes]:
        """Return a piece of the answer."""

    def end(self, result: ChatResult) -> Iterable[bytes]:
        """Return the end of a stream, after the answer."""

    def error(self, error: ApiError) -> Iterable[bytes]:
        """Return the end of a stream that has failed."""

    def whole(self, result: ChatResult) -> dict[str, Any]:
        """Return the whole answer."""


class AnswerResponse(Response):
    """Submits a request and sends its answer; a client that disconnects cancels it, even during the prefill."""

    def __init__(self, service: ChatService, request: Request, form: Form, is_streamed: bool) -> None:
        """Take the request; it is submitted when the response is sent."""
        super().__init__()
        self._service = service
        self._request = request
        self._form = form
        self._is_streamed = is_streamed

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send the answer; raise ApiError, before anything is sent, if there is no answer."""
        events = _Events(scope['path'])
        try:
            handle = self._service.submit(self._request, events.put)
        except Refusal as refusal:
            raise of_refusal(refusal) from None
        except InvalidParameterError as error:
            raise of_invalid(error, 'messages') from None
        watcher = asyncio.ensure_future(_cancel_on_disconnect(receive, handle))
        try:
            if self._is_streamed:
                await self._stream(events, send)
            else:
                await self._whole(events, scope, receive, send)
        finally:
            watcher.cancel()
            handle.cancel()  # if the server stops this task before the end of the answer

    async def _whole(self, events: _Events, scope: Any, receive: Any, send: Any) -> None:
        while not isinstance(event := await events.next(), Finished):
            pass
        error = of_result(event.result)
        if error is not None:
            raise error
        content = msgspec.json.encode(self._form.whole(event.result))
        await Response(content, media_type='application/json')(scope, receive, send)

    async def _stream(self, events: _Events, send: Any) -> None:
        event = await events.next(KEEP_ALIVE)
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

        await put(self._form.begin())
        while not isinstance(event, Finished):
            await put([self._form.keep_alive] if event is None else self._form.delta(event))
            event = await events.next(KEEP_ALIVE)
        await put(self._form.delta(event.delta))
        error = of_result(event.result)
        await put(self._form.end(event.result) if error is None else self._form.error(error), more=False)


class _Events:
    """Passes the events of a request, text and the end, from the service's threads to the event loop; logs the end."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._accepted_at = monotonic()
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[TextDelta | Finished] = asyncio.Queue()

    def put(self, event: ChatEvent) -> None:
        if isinstance(event, Finished):
            result = event.result
            if result.error_code is ErrorCode.BACKEND_FAILED:
                _LOG.error('%s', result.error_message)
            _LOG.info('%s: %s', self._path, result.summary(monotonic() - self._accepted_at))
        if isinstance(event, (TextDelta, Finished)):
            self._loop.call_soon_threadsafe(self._queue.put_nowait, event)

    async def next(self, timeout: float | None = None) -> TextDelta | Finished | None:
        """Return the next event; None after `timeout` seconds."""
        try:
            return await asyncio.wait_for(self._queue.get(), timeout)
        except asyncio.TimeoutError:
            return None


async def _cancel_on_disconnect(receive: Any, handle: ChatHandle) -> None:
    while (await receive())['type'] != 'http.disconnect':
        pass
    handle.cancel()
