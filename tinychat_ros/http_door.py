# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The HTTP server of the node: it uses the same service as the action, while the node is active."""

from __future__ import annotations

from typing import Any, TYPE_CHECKING

from rclpy.node import Node

from tinychat_core.server.opening import open_server
from tinychat_core.serving.chat_service import ChatService
from tinychat_ros.goal_check import NAMES, sampling_params

if TYPE_CHECKING:
    from tinychat_core.server.http_server import HttpServer
    from tinychat_core.server.served_model import Defaults


class HttpDoor:
    """The server runs from `open` to `close`, in its own thread, if the parameter http_port is not 0."""

    def __init__(self, node: Node) -> None:
        """Take the node; the server is closed."""
        self._node = node
        self._server: HttpServer | None = None

    def open(self, service: ChatService) -> None:
        """Start the server; TinyChatError if the address, the key or a package is missing."""
        port = self._value('http_port')
        if not port:
            return
        self._server = open_server(port, self._value('http_host'), self._value('http_api_key_file'))
        self._server.start(service, lambda: self._defaults(service.engine.context_length))
        self._node.get_logger().info(f'HTTP: {self._server.url}')

    def close(self) -> None:
        """Close each connection after its answer; returns within seconds."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()

    def _defaults(self, context_length: int) -> Defaults:
        """Return the current values of the parameters."""
        from tinychat_core.server.served_model import Defaults

        sampling = {name: self._value(f'sampling.{name}') for name in NAMES}
        params = sampling_params(sampling, self._value('max_new_tokens'), context_length)
        return Defaults(params, self._value('system_prompt'), self._value('time_limit'), self._value('publish_period'))

    def _value(self, name: str) -> Any:
        return self._node.get_parameter(name).value
