# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The fixtures of the agent's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from agent_world import Agent, World
import pytest


@pytest.fixture(scope='session')
def world() -> Iterator[World]:
    """Return the robot and the scripted chat node."""
    world = World()
    yield world
    world.close()


@pytest.fixture(scope='module')
def start_agent(world: World) -> Iterator[Callable[..., Agent]]:
    """Return a function that starts an agent with these parameters; only one runs at a time."""
    agents: list[Agent] = []

    def start(**parameters: Any) -> Agent:
        for agent in agents:
            agent.close()
        agents[:] = [Agent(world.namespace, **parameters)]
        return agents[0]

    yield start
    for agent in agents:
        agent.close()


@pytest.fixture(scope='module')
def agent(start_agent: Callable[..., Agent]) -> Agent:
    """Return an agent with the default parameters."""
    return start_agent(max_steps=20)
