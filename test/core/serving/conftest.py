# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A service over an engine that the test tells what to say."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from scripted_engine import ScriptedEngine
from talking import Talk


@pytest.fixture
def engine() -> ScriptedEngine:
    """Return the engine of the service."""
    return ScriptedEngine()


@pytest.fixture
def talk(engine: ScriptedEngine) -> Iterator[Talk]:
    """Return a service that is open, and close it in the end."""
    talk = Talk(engine)
    yield talk
    engine.stands_at = None
    talk.service.close()
