# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A service over a scripted engine and scripted servers."""

from __future__ import annotations

from typing import Any

from scripted_engine import ScriptedEngine
from talking import Asked

from tinychat_core.remote.config import FleetConfig, RemoteConfig
from tinychat_core.remote.fleet_service import FleetService
from tinychat_core.sampling import SamplingParams
from tinychat_core.serving.request_queue import Admission
from tinychat_core.serving.requests import ChatRequest
from tinychat_core.serving.results import ChatResult


class Fleet:
    """A FleetService that is open; `servers` are the URLs of its remote backends by name."""

    def __init__(self, engine: ScriptedEngine, order: str, servers: dict[str, str],
                 remote: dict[str, Any] | None = None, **config: Any) -> None:
        """Open it; `order`: names, separated by spaces; `remote`: fields of each RemoteConfig."""
        self.engine = engine
        self.admission = Admission()
        self.changes = 0
        fields = {'model': 'small', 'connect_timeout': 10.0, 'first_token_timeout': 20.0, 'stall_timeout': 20.0,
                  'probe_period': 60.0, **(remote or {})}
        remotes = {name: RemoteConfig(name=name, url=url, **fields) for name, url in servers.items()}
        self.service = FleetService(engine, 2, lambda: self.admission, self._on_change,  # type: ignore[arg-type]
                                    FleetConfig(order=tuple(order.split()), remotes=remotes, **config))
        self.service.open()

    def _on_change(self) -> None:
        self.changes += 1

    def send(self, prompt: str = 'Hello', params: SamplingParams | None = None, **fields: Any) -> Asked:
        """Submit a request."""
        if 'messages' not in fields and 'raw_prompt' not in fields:
            fields['prompt'] = prompt
        return Asked(self.service, ChatRequest(params=params or SamplingParams(), **fields))

    def ask(self, *arguments: Any, **fields: Any) -> ChatResult:
        """Submit a request, and return its result."""
        return self.send(*arguments, **fields).result()

    def state(self, name: str) -> str:
        """Return the state of a remote backend."""
        return next(status.state for status in self.service.backend_status() if status.name == name)

    def close(self) -> None:
        """End."""
        self.engine.stands_at, self.engine.prefill_delay = None, 0.0
        self.service.close()
