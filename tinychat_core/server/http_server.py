# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The HTTP server, in its own thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import socket
from threading import Thread

import uvicorn

from tinychat_core.errors import TinyChatError
from tinychat_core.server.app import create_app
from tinychat_core.server.served_model import Defaults, ServedModel
from tinychat_core.server.timed_protocol import TimedProtocol
from tinychat_core.serving.chat_service import ChatService

_IDLE_SECONDS = 15  # of a connection between two requests
_STOP_SECONDS = 1.0  # for clients to receive the rest of their answers
# A connection ends if its peer does not respond, or does not acknowledge data, for this time.
_SILENT_SECONDS = 30


class HttpServer:
    """Has its address from the beginning; serves from `start` to `stop`, once."""

    def __init__(self, host: str, port: int, api_key: str = '', origins: Sequence[str] = ()) -> None:
        """
        Bind the address; port 0 selects a free one. Raises TinyChatError if the address is not available.

        `api_key`: the key that clients must send, '' for none; `origins`: origins of web pages that may use the server.
        """
        self._socket = _bound(host, port)
        self._api_key = api_key
        self._origins = origins
        name = f'[{host}]' if ':' in host else host
        self.url = f'http://{name}:{self._socket.getsockname()[1]}'
        self._server: uvicorn.Server | None = None

    def start(self, service: ChatService, defaults: Callable[[], Defaults]) -> None:
        """Serve the model of this service; `defaults` is called for each request, from any thread."""
        app = create_app(ServedModel(service, defaults), self._api_key, self._origins)
        self._server = uvicorn.Server(uvicorn.Config(
            app, http=TimedProtocol, loop='asyncio', ws='none', lifespan='off', log_config=None, log_level='critical',
            access_log=False, timeout_keep_alive=_IDLE_SECONDS, proxy_headers=False, server_header=False))
        self._thread = Thread(target=self._server.run, kwargs={'sockets': [self._socket]}, name='http', daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close the socket, and each connection after its answer; close all of them after two seconds at most."""
        if self._server is None:
            self._socket.close()
            return
        self._server.should_exit = True
        self._thread.join(_STOP_SECONDS)
        self._server.force_exit = True
        self._thread.join(_STOP_SECONDS)


def _bound(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise TinyChatError(f'cannot listen on {host}: {error.strerror}; give an address of this machine') from None
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Connections inherit these. Without TCP_NODELAY, which asyncio only sets for sockets made with IPPROTO_TCP, the
        # first text waits up to 40 ms until the client acknowledges the headers.
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _SILENT_SECONDS // 3)
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _SILENT_SECONDS // 3)
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 2)
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _SILENT_SECONDS * 1000)
        bound.bind(address)
        bound.listen()  # SO_REUSEADDR lets two sockets bind the same address, but only one can listen
    except OSError as error:
        bound.close()
        raise TinyChatError(f'cannot listen on {host}, port {port}: {error.strerror}; choose another port or '
                            'address') from None
    return bound
