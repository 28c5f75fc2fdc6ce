# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The example of an action client works as it stands."""

from __future__ import annotations

from pathlib import Path
import sys

from processes import Process
import pytest
from robot import Robot
from scripted_engine import ScriptedEngine

EXAMPLE = Path(__file__).parents[2] / 'examples' / 'chat_action_client.py'


@pytest.fixture(autouse=True)
def room(engine: ScriptedEngine) -> None:
    """Let the context hold what the example asks for."""
    engine.context_length = 1000


def ask(robot: Robot, *arguments: str) -> Process:
    return Process(sys.executable, str(EXAMPLE), *arguments, '--ros-args', '-r',
                   f'__ns:={robot.node.get_namespace()}')


def test_it_prints_the_answer(robot: Robot) -> None:
    asking = ask(robot, 'What do robots need?')
    assert asking.ends() == 0
    assert asking.output.endswith('Robots need maps.\n[stop: 4 tokens] \n')


def test_it_cancels(robot: Robot, engine: ScriptedEngine) -> None:
    engine.words, engine.delay = ['word '] * 900, 0.1
    asking = ask(robot, '--cancel-after', '2', 'Tell me a long story.')
    assert asking.ends() == 1
    assert 'word \n[canceled: ' in asking.output


def test_it_tells_of_a_rejection(robot: Robot) -> None:
    asking = ask(robot, ' ')
    assert asking.ends() == 1
    assert asking.output.endswith('[rejected: 0 tokens] the goal was rejected\n')
