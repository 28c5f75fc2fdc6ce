# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A server in this process, over an engine that the test tells what to say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from scripted_engine import ScriptedEngine
from serving_http import Served


@pytest.fixture
def engine() -> ScriptedEngine:
    """Return the engine of the server."""
    return ScriptedEngine(context_length=4000)


@pytest.fixture
def serve(engine: ScriptedEngine) -> Iterator[Callable[..., Served]]:
    """Return a function that starts a server; its options are those of Served."""
    started: list[Served] = []

    def begin(**options: Any) -> Served:
        started.append(Served(engine, **options))
        return started[-1]

    yield begin
    engine.stands_at, engine.prefill_delay = None, 0.0
    for served in started:
        served.close()


@pytest.fixture
def served(serve: Callable[..., Served]) -> Served:
    """Return a server without an API key."""
    return serve()
