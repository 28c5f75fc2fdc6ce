# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Waits until a person confirms or refuses a call."""

from __future__ import annotations

from threading import Lock
from time import monotonic
from typing import Any

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node

from tinychat_core.errors import shown
from tinychat_interfaces.srv import Confirm
from tinychat_ros.agent.wakeup import Wakeup


class Confirmation:
    """The service ~/confirm: one call at a time can wait for it."""

    def __init__(self, node: Node, time_limit: float) -> None:
        """Create the service; `time_limit`: for the person [s]."""
        self._time_limit = time_limit
        self._lock = Lock()
        self._waiting = ''
        self._agrees: bool | None = None
        self._wakeup: Wakeup | None = None
        node.create_service(Confirm, '~/confirm', self._on_confirm, callback_group=ReentrantCallbackGroup())

    def ask(self, call_id: str, wakeup: Wakeup) -> str:
        """Wait for the person; return why the call may not begin, or ''."""
        with self._lock:
            self._waiting, self._agrees, self._wakeup = call_id, None, wakeup
        try:
            wakeup.wait(lambda: self._agrees is not None, monotonic() + self._time_limit)
        finally:
            with self._lock:
                self._waiting = ''
        if self._agrees is None:
            return f'nobody has confirmed the call within {self._time_limit:g} s'
        return '' if self._agrees else 'a person has refused the call'

    def _on_confirm(self, request: Any, response: Any) -> Any:
        with self._lock:
            if not self._waiting or request.call_id != self._waiting:
                response.message = f'no call {shown(request.call_id)} waits for a confirmation'
                return response
            self._agrees = request.agree
            self._waiting = ''
            wakeup = self._wakeup
        if wakeup is not None:
            wakeup.notify()
        response.success = True
        return response
