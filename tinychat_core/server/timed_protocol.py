# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Ends connections whose client is too slow to send its request or to read its answer, and refuses too many of them."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from tinychat_core.server.errors import ApiError

HEAD_SECONDS = 10.0  # from the connection, or the first byte of a request, to the end of its headers
STALLED_SECONDS = 30.0  # during which the client reads nothing of its answer
MAX_CONNECTIONS = 64
MAX_REFUSED = 192  # connections beyond these that get an error; more are closed at once


class TimedProtocol(H11Protocol):
    """
    uvicorn's HTTP/1.1 with the two time limits that it lacks, and with an error in JSON for too many connections.

    When a connection is aborted, its request is canceled, as with any client that disconnects. `body` has the time
    limit for the body of a request.
    """

    _head: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Start the time limit for the headers; refuse what is beyond the limit of connections."""
        super().connection_made(transport)
        count = len(self.connections)
        if count > MAX_CONNECTIONS + MAX_REFUSED:
            transport.abort()
        elif count > MAX_CONNECTIONS:
            self.app = _refuse  # uvicorn's own answer would be plain text
        self._head = self.loop.call_later(HEAD_SECONDS, transport.abort)

    def data_received(self, data: bytes) -> None:
        """Stop the time limit if the headers are complete; start it with the first byte of the next request."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_head()
        elif self._head is None:
            self._head = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def pause_writing(self) -> None:
        """Start the time limit for a client that does not read."""
        super().pause_writing()
        self._stalled = self.loop.call_later(STALLED_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop the time limit: the client has read."""
        super().resume_writing()
        self._stop_stalled()

    def connection_lost(self, error: Exception | None) -> None:
        """Stop all time limits."""
        super().connection_lost(error)
        self._stop_head()
        self._stop_stalled()

    def _stop_head(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _stop_stalled(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None


async def _refuse(scope: Any, receive: Any, send: Any) -> None:
    error = ApiError(503, f'there are too many connections, more than {MAX_CONNECTIONS}', code='too_many_connections')
    response = error.response(scope['path'])
    response.headers['connection'] = 'close'
    await response(scope, receive, send)
