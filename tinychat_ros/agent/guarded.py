# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The agent's side of the connection to the stop guard."""

from __future__ import annotations

from contextlib import suppress
import json
import subprocess
from threading import Event, Lock, Thread
from time import monotonic
from typing import Any

from rclpy.serialization import serialize_message

from tinychat_core.workers.child import command
from tinychat_ros.agent.stop_guard import LONGEST_DISCOVERY
from tinychat_ros.agent.wakeup import Wakeup

HEARTBEAT = 0.1  # [s]
LONGEST_START = 15.0  # [s]


class GuardLostError(Exception):
    """The stop guard does not run, so nothing may move."""


class Guarded:
    """
    Tells the stop guard, a process, what moves. All methods may be called from any thread.

    If the process ends, the next motion starts another one.
    """

    def __init__(self) -> None:
        """Begin without a process."""
        self._prepared: list[dict[str, str]] = []
        self._lock = Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._is_ready = Event()
        self._is_over = Event()
        self._armed: set[str] = set()
        self._heard: set[str] = set()  # those of which the guard says that it can stop them

    def prepare_topic(self, topic: str, type_name: str) -> None:
        """Let the guard know a topic for stop messages. Before start."""
        self._prepared.append({'topic': topic, 'type': type_name})

    def prepare_action(self, action: str) -> None:
        """Let the guard know an action whose goals it may cancel. Before start."""
        self._prepared.append({'action': action})

    def start(self) -> bool:
        """Start the process, if there is anything to guard, and wait for it; return whether motions may begin."""
        if not self._prepared:
            return True
        self._start()
        Thread(target=self._beat, name='stop guard', daemon=True).start()
        return self._is_ready.wait(LONGEST_START)

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def arm_topic(self, key: str, topic: str, type_name: str, stop: Any, wakeup: Wakeup) -> None:
        """Guard what moves until this message stops it. Raises GuardLostError."""
        self._arm({'arm': key, 'topic': topic, 'type': type_name, 'stop': serialize_message(stop).hex()}, wakeup)

    def arm_action(self, key: str, action: str, goal_id: bytes, wakeup: Wakeup) -> None:
        """Guard a goal that is about to be sent. Raises GuardLostError."""
        self._arm({'arm': key, 'action': action, 'goal': goal_id.hex()}, wakeup)

    def disarm(self, key: str) -> None:
        """Stop guarding a motion that has ended."""
        self._armed.discard(key)
        self._heard.discard(key)
        self._send({'disarm': key})

    def close(self) -> None:
        """End the process, which stops whatever is still armed."""
        self._is_over.set()
        if self._process is not None and self._process.stdin is not None:
            with self._lock, suppress(OSError):
                self._process.stdin.close()

    def _arm(self, order: dict[str, str], wakeup: Wakeup) -> None:
        if not self.is_alive and not self._is_over.is_set():
            self._armed.clear()
            self._start()
        if not self._is_ready.is_set():
            wakeup.wait(self._is_ready.is_set, monotonic() + LONGEST_START)
        key = order['arm']
        self._armed.add(key)
        try:
            if not self._is_ready.is_set() or not self._send(order):
                raise GuardLostError('the process that would stop the robot does not run')
            if not wakeup.wait(lambda: key in self._heard, monotonic() + LONGEST_DISCOVERY + 1.0):
                raise GuardLostError('the process that would stop the robot cannot reach it')
        except BaseException:
            self.disarm(key)
            raise

    def _start(self) -> None:
        self._is_ready.clear()
        process = self._process = subprocess.Popen(
            command('tinychat_ros.agent.stop_guard'), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            start_new_session=True)  # a terminal that closes must not end it
        Thread(target=self._listen, args=[process], daemon=True).start()
        for order in (*self._prepared, {}):
            self._send(order)

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if process is not self._process:
                return
            if line.strip() == b'ready':
                self._is_ready.set()
            else:
                self._heard.add(line.decode().strip())

    def _send(self, order: dict[str, str]) -> bool:
        assert self._process is not None and self._process.stdin is not None
        with self._lock:
            try:
                self._process.stdin.write(json.dumps(order).encode() + b'\n')
                self._process.stdin.flush()
            except (OSError, ValueError):  # it has ended, or was closed
                return False
        return True

    def _beat(self) -> None:
        while not self._is_over.wait(HEARTBEAT):
            if self._armed:
                self._send({})
