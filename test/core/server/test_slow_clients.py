# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Clients that are too slow to ask, or to read, do not keep a connection."""

from __future__ import annotations

from collections.abc import Callable
import socket

import pytest
from scripted_engine import ScriptedEngine
from serving_http import error, Served

from tinychat_core.server import body, timed_protocol


def connected(served: Served, buffer: int = 0) -> socket.socket:
    host, _, port = served.url.removeprefix('http://').rpartition(':')
    client = socket.socket()
    client.settimeout(30.0)
    if buffer:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    client.connect((host, int(port)))
    return client


def is_ended(client: socket.socket) -> bool:
    """Read all that comes; a connection that stays open fails by the socket's time limit."""
    try:
        while client.recv(1000):
            pass
    except ConnectionResetError:
        pass
    return True


@pytest.mark.parametrize('begin', [b'', b'POST /v1/chat/completions HTTP/1.1\r\nHost: local'])
def test_headers_that_do_not_come(serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch, begin: bytes) -> None:
    monkeypatch.setattr(timed_protocol, 'HEAD_SECONDS', 0.1)
    with connected(serve()) as client:
        client.sendall(begin)
        assert is_ended(client)


def test_headers_of_a_second_request_that_do_not_come(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    with connected(served) as client:
        client.sendall(b'GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n')
        assert b'200 OK' in client.recv(10_000)
        monkeypatch.setattr(timed_protocol, 'HEAD_SECONDS', 0.1)
        client.sendall(b'GET /hea')
        assert is_ended(client)


def test_a_body_that_does_not_come(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, 'SECONDS', 0.1)
    with connected(served) as client:
        client.sendall(b'POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{')
        assert b'408' in client.recv(10_000)
        assert is_ended(client)


def test_a_reader_that_stalls_ends_its_request(served: Served, engine: ScriptedEngine,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timed_protocol, 'STALLED_SECONDS', 0.1)
    engine.words, engine.stands_at = ['x' * 200_000] * 100, 90  # more than the kernel's buffers take
    question = b'{"messages": [{"role": "user", "content": "x"}], "stream": true}'
    with connected(served, 4096) as client:
        client.sendall(b'POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n' %
                       len(question) + question)
        served.await_running()
        served.await_idle()


def test_invalid_http_is_refused(served: Served) -> None:
    with connected(served) as client:
        client.sendall(b'\x16\x03\x01\x02\x00\x01\x00\r\n\r\n')
        assert client.recv(1000).partition(b'\r\n')[0] in (b'HTTP/1.1 400 Bad Request', b'')  # '': old uvicorn
    assert error(served.client.get('/v1/nothing'))


def test_too_many_connections_get_an_error(served: Served) -> None:
    clients = [connected(served) for _ in range(timed_protocol.MAX_CONNECTIONS)]
    try:
        for client in clients:
            client.sendall(b'GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n')
            assert b'200 OK' in client.recv(10_000)
        response = served.chat()
        assert response.status_code == 503 and error(response)['code'] == 'too_many_connections'
        assert response.headers['retry-after'] and response.headers['connection'] == 'close'
        refused = served.client.post('/api/chat', json={})
        assert 'too many connections' in refused.json()['error']
    finally:
        for client in clients:
            client.close()
    served.client.close()


def test_far_too_many_connections_are_closed(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timed_protocol, 'MAX_CONNECTIONS', 1)
    monkeypatch.setattr(timed_protocol, 'MAX_REFUSED', 1)
    with connected(served) as first, connected(served) as second, connected(served) as third:
        assert is_ended(third)
        second.sendall(b'GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n')
        assert b'503' in second.recv(10_000)
        first.sendall(b'GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n')
        assert b'200 OK' in first.recv(10_000)
