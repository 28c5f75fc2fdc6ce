# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""An OpenAI-compatible server that behaves as a test wants: answers, stalls, refuses, writes garbage, cuts off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import json
import select
import socket
import ssl
from threading import Event, Thread
from time import monotonic, sleep
from typing import Any

WORDS = ('Maps ', 'help ', 'robots.')
Behaviour = Callable[['Handler'], None]


class Handler(BaseHTTPRequestHandler):
    """One connection; `body` is the request that is being answered."""

    protocol_version = 'HTTP/1.1'
    server: ScriptedServer
    body: dict[str, Any]

    def do_GET(self) -> None:
        """Answer a probe."""
        self.server.gets.append(self.path)
        self.server.on_get(self)

    def do_POST(self) -> None:
        """Answer a request as the next behaviour does; the last one stays."""
        length = int(self.headers.get('content-length', 0))
        self.body = json.loads(self.rfile.read(length))
        self.server.requests.append(self.body)
        self.server.headers.append({name.lower(): value for name, value in self.headers.items()})
        behaviours = self.server.behaviours
        (behaviours.pop(0) if len(behaviours) > 1 else behaviours[0])(self)

    def log_message(self, *_: Any) -> None:
        """Stay quiet."""

    def reply(self, status: int, content: bytes | str | dict[str, Any], media_type: str = 'application/json',
              **headers: str) -> None:
        """Send a whole answer."""
        data = json.dumps(content) if isinstance(content, dict) else content
        data = data.encode() if isinstance(data, str) else data
        self.send_response(status)
        self.send_header('content-type', media_type)
        self.send_header('content-length', str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace('_', '-'), value)
        self.end_headers()
        self.wfile.write(data)

    def begin(self) -> None:
        """Begin a stream."""
        self.send_response(200)
        self.send_header('content-type', 'text/event-stream; charset=utf-8')
        self.send_header('transfer-encoding', 'chunked')
        self.end_headers()

    def put(self, data: bytes) -> None:
        """Send a chunk of the stream."""
        self.wfile.write(b'%x\r\n%s\r\n' % (len(data), data))
        self.wfile.flush()

    def event(self, delta: dict[str, Any], reason: str | None = None, **more: Any) -> None:
        """Send an event with one choice."""
        choice = {'index': 0, 'delta': delta, 'finish_reason': reason}
        self.put(b'data: ' + json.dumps({'choices': [choice], **more}).encode() + b'\n\n')

    def conclude(self, reason: str = 'stop', usage: dict[str, Any] | None = None) -> None:
        """Send the reason, the usage and the end."""
        self.event({}, reason)
        if usage is not None:
            self.put(b'data: ' + json.dumps({'choices': [], 'usage': usage}).encode() + b'\n\n')
        self.put(b'data: [DONE]\n\n')
        self.wfile.write(b'0\r\n\r\n')

    def cut(self) -> None:
        """Reset the connection."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
        self.connection.close()
        self.close_connection = True

    def await_close(self) -> None:
        """Wait until the client closes the connection, or the server ends."""
        while not self.server.ended.is_set():
            if select.select([self.connection], [], [], 0.02)[0] and not self.connection.recv(1, socket.MSG_PEEK):
                self.server.closed_by_client.set()
                break
        self.close_connection = True


class ScriptedServer(ThreadingHTTPServer):
    """Listens until `close`, on a free port unless told otherwise. The last of `behaviours` stays."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, *behaviours: Behaviour, tls: ssl.SSLContext | None = None, port: int = 0,
                 host: str = '127.0.0.1') -> None:
        """Begin to serve."""
        super().__init__((host, port), Handler)
        self.behaviours = list(behaviours) or [answers()]
        self.on_get: Behaviour = models('small')
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.gets: list[str] = []
        self.ended, self.closed_by_client = Event(), Event()
        self.port = self.server_address[1]
        self.url = f'{"https" if tls else "http"}://127.0.0.1:{self.port}/v1'
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        Thread(target=self.serve_forever, kwargs={'poll_interval': 0.01}, daemon=True).start()

    def handle_error(self, *_: Any) -> None:
        """Ignore a client that has gone."""

    def close(self) -> None:
        """End."""
        self.ended.set()
        self.shutdown()
        self.server_close()


def models(*names: str) -> Behaviour:
    """Return what lists these models."""
    return lambda handler: handler.reply(200, {'object': 'list', 'data': [{'id': name} for name in names]})


def answers(words: Sequence[str] = WORDS, reason: str = 'stop', usage: dict[str, Any] | None = None,
            before: float = 0.0, between: float = 0.0) -> Behaviour:
    """Return what streams these words, after `before` seconds."""
    def answer(handler: Handler) -> None:
        sleep(before)
        handler.begin()
        handler.event({'role': 'assistant', 'content': ''})
        for word in words:
            handler.event({'content': word})
            sleep(between)
        handler.conclude(reason, usage or {'prompt_tokens': 11, 'completion_tokens': len(words)})

    return answer


def events(*deltas: dict[str, Any], reason: str = 'stop') -> Behaviour:
    """Return what streams these deltas."""
    def answer(handler: Handler) -> None:
        handler.begin()
        for delta in deltas:
            handler.event(delta)
        handler.conclude(reason)

    return answer


def refuses(status: int, message: str = 'no', **headers: str) -> Behaviour:
    """Return what answers with an error."""
    return lambda handler: handler.reply(status, {'error': {'message': message, 'code': None}}, **headers)


def stalls(words: Sequence[str] = ()) -> Behaviour:
    """Return what says these words, and then nothing until the client has gone."""
    def stall(handler: Handler) -> None:
        handler.begin()
        for word in words:
            handler.event({'content': word})
        handler.await_close()

    return stall


def keeps_alive(handler: Handler) -> None:
    """Send comments, and no token."""
    handler.begin()
    end = monotonic() + 5
    while monotonic() < end and not handler.server.ended.is_set():
        handler.put(b': still working\n\n')
        sleep(0.02)


def says_nothing(handler: Handler) -> None:
    """Send not even a status until the client has gone."""
    handler.await_close()


def cuts(words: Sequence[str] = ()) -> Behaviour:
    """Return what resets the connection after these words."""
    def cut(handler: Handler) -> None:
        handler.begin()
        for word in words:
            handler.event({'content': word})
        sleep(0.05)
        handler.cut()

    return cut


def ends_early(words: Sequence[str] = ()) -> Behaviour:
    """Return what ends the stream without a reason."""
    def end(handler: Handler) -> None:
        handler.begin()
        for word in words:
            handler.event({'content': word})
        handler.wfile.write(b'0\r\n\r\n')

    return end


def streams_raw(data: bytes) -> Behaviour:
    """Return what streams these bytes."""
    def answer(handler: Handler) -> None:
        handler.begin()
        handler.put(data)
        handler.wfile.write(b'0\r\n\r\n')

    return answer
