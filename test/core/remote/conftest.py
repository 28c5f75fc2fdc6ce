# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Services with backends, and the servers that play them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from fleet import Fleet
import pytest
from scripted_engine import ScriptedEngine
from scripted_server import Behaviour, ScriptedServer


@pytest.fixture
def engine() -> ScriptedEngine:
    """Return the engine of this machine."""
    return ScriptedEngine(context_length=1000)


@pytest.fixture
def server() -> Iterator[Callable[..., ScriptedServer]]:
    """Return a function that starts a server with these behaviours."""
    servers: list[ScriptedServer] = []

    def begin(*behaviours: Behaviour, **options: Any) -> ScriptedServer:
        servers.append(ScriptedServer(*behaviours, **options))
        return servers[-1]

    yield begin
    for each in servers:
        each.close()


@pytest.fixture
def fleet(engine: ScriptedEngine) -> Iterator[Callable[..., Fleet]]:
    """Return a function that opens a service: the order of its backends, and a server for each remote one."""
    fleets: list[Fleet] = []

    def begin(order: str, *servers: ScriptedServer | str, **options: Any) -> Fleet:
        names = [name for name in order.split() if name != 'local']
        urls = [each if isinstance(each, str) else each.url for each in servers]
        fleets.append(Fleet(engine, order, dict(zip(names, urls, strict=True)), **options))
        return fleets[-1]

    yield begin
    for each in fleets:
        each.close()
