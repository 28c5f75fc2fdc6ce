# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A server over a scripted engine, and a client for it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
import json
from typing import Any

import httpx
from scripted_engine import ScriptedEngine
from waiting import wait_for

from tinychat_core.sampling import SamplingParams
from tinychat_core.server.http_server import HttpServer
from tinychat_core.server.served_model import Defaults
from tinychat_core.serving.chat_service import ChatService
from tinychat_core.serving.request_queue import Admission

HELLO = [{'role': 'user', 'content': 'Hello'}]


class Served:
    """A service behind a real server on a free port; `client` asks it."""

    def __init__(self, engine: ScriptedEngine, api_key: str = '', origins: Sequence[str] = ()) -> None:
        """Begin to serve."""
        self.engine = engine
        self.admission = Admission()
        self.defaults = Defaults(SamplingParams(), publish_period=0.0)
        self.service = ChatService(engine, 2, lambda: self.admission)  # type: ignore[arg-type]
        self.service.open()
        self.server = HttpServer('127.0.0.1', 0, api_key, origins)
        self.server.start(self.service, lambda: self.defaults)
        self.url = self.server.url
        self.client = httpx.Client(base_url=self.url, timeout=30.0)
        self.beside = ThreadPoolExecutor()

    def chat(self, **fields: Any) -> httpx.Response:
        """Ask for a chat completion."""
        return self.client.post('/v1/chat/completions', json={'messages': HELLO, **fields})

    def chat_beside(self, **fields: Any) -> Future[httpx.Response]:
        """Ask for one in a thread, and return once it is being answered or waits."""
        before = len(self.service.running) + self.service.waiting
        response = self.beside.submit(self.chat, **fields)
        wait_for(lambda: len(self.service.running) + self.service.waiting > before)
        return response

    def stream(self, path: str, body: dict[str, Any]) -> list[str]:
        """Return the lines of a stream that are not empty."""
        with self.client.stream('POST', path, json=body) as response:
            assert response.status_code == 200, response.read()
            return [line for line in response.iter_lines() if line]

    def events(self, path: str = '/v1/chat/completions', **fields: Any) -> list[dict[str, Any]]:
        """Return the events of OpenAI's stream."""
        lines = self.stream(path, {'stream': True, **({'messages': HELLO} if 'chat' in path else {}), **fields})
        assert lines[-1] == 'data: [DONE]'
        return [json.loads(line.removeprefix('data: ')) for line in lines[:-1]]

    def await_running(self) -> None:
        """Wait until a request is being answered."""
        wait_for(lambda: self.service.running)

    def await_idle(self) -> None:
        """Wait until none is."""
        wait_for(lambda: not self.service.running)

    def close(self) -> None:
        """End."""
        self.service.stop('the end')
        self.beside.shutdown()
        self.client.close()
        self.server.stop()
        self.service.close()


def error(response: httpx.Response) -> dict[str, Any]:
    """Return OpenAI's error object."""
    found: dict[str, Any] = response.json()['error']
    assert set(found) == {'message', 'type', 'param', 'code'}
    return found
