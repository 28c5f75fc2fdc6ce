# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Robots for the tests: each has a node with a scripted engine and a namespace of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import os
from pathlib import Path
import signal
from typing import Any

from processes import new_namespace, node_process, Process
import pytest
import rclpy
from rclpy.signals import SignalHandlerOptions
from robot import Robot
from scripted_engine import ScriptedEngine

from tinychat_ros.distribution import this_machine_only

# On this machine alone, in a domain that no other test run has, for the processes that tests start, too.
os.environ.update(this_machine_only())
os.environ['ROS_DOMAIN_ID'] = str(1 + os.getpid() % 100)


@pytest.fixture(scope='session', autouse=True)
def ros() -> Iterator[None]:
    """One context for all tests of the process."""
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    yield
    rclpy.try_shutdown()


@pytest.fixture
def engine() -> ScriptedEngine:
    """Return the engine of the robots, to be told what to say."""
    return ScriptedEngine()


@pytest.fixture
def start(engine: ScriptedEngine) -> Iterator[Callable[..., Robot]]:
    """Return a function that starts a robot with these parameters (`sampling__seed` for sampling.seed)."""
    robots: list[Robot] = []

    def begin(open_engine: Callable[..., Any] = lambda *_, **__: engine, **parameters: Any) -> Robot:
        robots.append(Robot(open_engine, **parameters))
        return robots[-1]

    yield begin
    for robot in robots:
        robot.close()


@pytest.fixture
def robot(start: Callable[..., Robot]) -> Robot:
    """Return a robot with the default parameters, ready to serve."""
    return start()


@pytest.fixture
def start_node(smollm2_checkpoint: Path) -> Iterator[Callable[..., tuple[Process, str]]]:
    """Return a function that starts a node with the real model: the process and its namespace."""
    nodes: list[Process] = []

    def begin(*arguments: str, checkpoint: Path = smollm2_checkpoint, **options: Any) -> tuple[Process, str]:
        namespace = new_namespace()
        nodes.append(node_process(namespace, checkpoint, *arguments, **options))
        return nodes[-1], namespace

    yield begin
    for node in nodes:
        node.send_signal(signal.SIGCONT)
        node.send_signal(signal.SIGTERM)
        node.ends()
