# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""In examples/bringup.launch.py neither a bad model nor the death of the node stops the robot beside it."""

from __future__ import annotations

from collections.abc import Iterator
import os
from pathlib import Path
import re
import signal
import subprocess
from threading import Thread
from time import monotonic, sleep
from typing import Any

import pytest
import smollm2

EXAMPLE = Path(__file__).parents[2] / 'examples' / 'bringup.launch.py'


class Launch:
    """A running `ros2 launch`."""

    def __init__(self, *arguments: str) -> None:
        """Start it."""
        self.process = subprocess.Popen(['ros2', 'launch', str(EXAMPLE), *arguments], env=os.environ, text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.output = ''
        self._reader = Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line

    def says(self, pattern: str, after: int = 0) -> re.Match[str]:
        """Wait until what comes after a position of the output matches."""
        deadline = monotonic() + 60
        while (match := re.search(pattern, self.output[after:])) is None:
            assert self.process.poll() is None and monotonic() < deadline, self.output
            sleep(0.05)
        return match

    def end(self) -> int:
        """End it as Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(60)
        self._reader.join()
        return code


@pytest.fixture
def launch() -> Iterator[Any]:
    """Return a function that launches the example."""
    running: list[Launch] = []

    def start(*arguments: str) -> Launch:
        running.append(Launch(*arguments))
        return running[-1]

    yield start
    for one in running:
        if one.process.poll() is None:
            one.end()


def test_a_bad_model_stops_nothing(launch: Any) -> None:
    robot = launch('language_model:=/nonexistent', 'model:=/my.urdf')
    robot.says('head.talker.*/nonexistent is not a directory')
    seen = len(robot.output)
    robot.says(r"\[robot-\d+\] publishing .*data='/my.urdf'", after=seen)
    robot.says(r"\[robot-\d+\] publishing .*data='/my.urdf'", after=len(robot.output))
    assert 'process has died' not in robot.output
    assert robot.end() == 0


def test_a_killed_node_comes_back_and_stops_nothing(launch: Any) -> None:
    robot = launch(f'language_model:={smollm2.checkpoint()}')
    robot.says(r'head\.talker\]: ready')
    os.kill(int(robot.says(r'chat_node-\d+\]: process started with pid \[(\d+)\]')[1]), signal.SIGKILL)
    robot.says('process has died')
    seen = len(robot.output)
    robot.says(r"\[robot-\d+\] publishing .*data='robot.urdf'", after=seen)
    robot.says(r'head\.talker\]: ready', after=seen)
