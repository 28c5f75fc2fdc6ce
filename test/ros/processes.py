# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The node and the client as a user starts them: processes of their own."""

from __future__ import annotations

import os
from pathlib import Path
from select import select
import signal
import subprocess
from threading import Lock, Thread
from typing import Any
import uuid

from ament_index_python.packages import get_package_prefix
from waiting import wait_for

BIN = Path(get_package_prefix('tinychat_ros'), 'lib', 'tinychat_ros')
STORY = 'Write a very long story about a robot.'
# For the environment of processes that miss each other after two seconds.
IMPATIENT = {name: str(Path(__file__).with_name('fast_discovery.xml'))
             for name in ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')}


class Process:
    """A process whose output is kept; `options` are those of Popen."""

    def __init__(self, *command: str, **options: Any) -> None:
        """Start it."""
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        bufsize=0, **options)
        self._output = ''
        self._taking = Lock()
        assert self.process.stdout is not None
        self._pipe = self.process.stdout
        os.set_blocking(self._pipe.fileno(), False)
        self._reader = Thread(target=self._read)
        self._reader.start()

    @property
    def output(self) -> str:
        """All that it has written until now."""
        self._take()
        return self._output

    def _read(self) -> None:
        """Keep its pipe from becoming full."""
        while not self._take():
            select([self._pipe], [], [])

    def _take(self) -> bool:
        """Take what is in its pipe, and return whether the pipe is closed."""
        with self._taking:
            while chunk := self._pipe.read(4096):
                self._output += chunk.decode(errors='replace')
            return chunk is not None

    def says(self, text: str, seconds: float = 30.0) -> None:
        """Wait until the output contains `text`."""
        wait_for(lambda: text in self.output or self.process.poll() is not None, seconds)
        assert text in self.output

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def ends(self, seconds: float = 30.0) -> int:
        """Wait for the end and return the exit code."""
        wait_for(lambda: self.process.poll() is not None, seconds)
        self._reader.join()
        return self.process.returncode


def new_namespace() -> str:
    """Return a namespace that no other test has."""
    return f'/robot_{uuid.uuid4().hex[:8]}'


def node_process(namespace: str, checkpoint: Path, *arguments: str, **options: Any) -> Process:
    """Start a node with a real model, and wait until it serves."""
    # Arguments first: of two values of a parameter the later one counts, as in the launch file.
    node = Process(str(BIN / 'chat_node'), '--ros-args', *arguments, '-r', f'__ns:={namespace}',
                   '-p', f'model:={checkpoint}', '-p', 'sampling.temperature:=0.0', **options)
    try:
        node.says('ready')
    except BaseException:
        node.process.kill()  # nobody else knows it
        raise
    return node


def client_process(namespace: str, *arguments: str, **options: Any) -> Process:
    """Start chat_client."""
    return Process(str(BIN / 'chat_client'), *arguments, '--ros-args', '-r', f'__ns:={namespace}',
                   **options)
