# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What carries out the calls of one tool, and the calls of services."""

from __future__ import annotations

from abc import ABC, abstractmethod
from time import monotonic
from typing import Any

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node

from tinychat_core.errors import TinyChatError
from tinychat_ros.agent.message_data import message_data
from tinychat_ros.agent.tool import Tool
from tinychat_ros.agent.wakeup import Wakeup


class CallFailedError(TinyChatError):
    """A call that was made, or could not be made; the model is told why. `data`: what came back nevertheless."""

    def __init__(self, message: str, data: Any = None) -> None:
        """Take the reason."""
        super().__init__(message)
        self.data = data


class Caller(ABC):
    """Carries out the calls of one tool, one at a time."""

    def __init__(self, node: Node, tool: Tool) -> None:
        """Create what the calls need on a node."""
        self._node = node
        self.tool = tool
        self.interface = self._resolved()

    @property
    @abstractmethod
    def is_there(self) -> bool:
        """Whether somebody serves it: a server, a subscriber or a publisher."""

    @property
    def is_running(self) -> bool:
        """Whether an abandoned call still runs."""
        return False

    @abstractmethod
    def call(self, values: dict[str, Any], duration: float, wakeup: Wakeup) -> dict[str, Any]:
        """
        Make a call with checked arguments, and return the data for the model.

        Raises CallFailedError, and TaskEnded if the task ends meanwhile. By then, a motion has been stopped, or
        is_running is true.
        """

    def await_there(self, wakeup: Wakeup, until: float, missing: str) -> None:
        """Wait until the other side of the call is available. Raises CallFailedError that says what is missing."""
        if not wakeup.wait(lambda: self.is_there, until):
            raise CallFailedError(f'{missing} (waited for {self.tool.spec.time_limit:g} s)')

    def _resolved(self) -> str:
        if self.tool.spec.kind == 'service':
            return str(self._node.resolve_service_name(self.tool.spec.interface))
        return str(self._node.resolve_topic_name(self.tool.spec.interface))

    def _until(self) -> float:
        return monotonic() + self.tool.spec.time_limit

    def _message(self, values: dict[str, Any]) -> Any:
        return self.tool.sent.message(values, self._node.get_clock().now().to_msg())


class ServiceCaller(Caller):
    """Calls a service."""

    def __init__(self, node: Node, tool: Tool) -> None:
        """Create the client."""
        super().__init__(node, tool)
        self._client: Any = node.create_client(tool.cls, tool.spec.interface, callback_group=ReentrantCallbackGroup())
        self._given_up: Any = None

    @property
    def is_there(self) -> bool:
        """Whether there is a server."""
        return bool(self._client.service_is_ready())

    @property
    def is_running(self) -> bool:
        """Whether a server that is still there has not answered a call that was given up."""
        return self._given_up is not None and not self._given_up.done() and self.is_there

    def call(self, values: dict[str, Any], duration: float, wakeup: Wakeup) -> dict[str, Any]:
        """Return the response; a response whose boolean field `success` is false is a failure."""
        until = self._until()
        self.await_there(wakeup, until, f'the service {self.interface} is not there')
        future = self._client.call_async(self._message(values))
        future.add_done_callback(wakeup.notify)
        self._given_up = future
        if not wakeup.wait(future.done, until):
            raise CallFailedError(f'the service has not answered within {self.tool.spec.time_limit:g} s, and may still '
                                  'carry the call out')
        self._given_up = None
        response: Any = future.result()
        data = message_data(response, self.tool.spec.result)
        if getattr(response, 'success', True) is False:
            raise CallFailedError(str(getattr(response, 'message', '')) or 'the service reports a failure', data)
        return {'response': data}
