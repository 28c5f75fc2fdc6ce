# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What the node is doing, on ~/state."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from unique_identifier_msgs.msg import UUID

from tinychat_core.errors import one_line
from tinychat_ros.interfaces import State


class Status:
    """The one place that knows the node's state; every change is published. For all threads."""

    def __init__(self, node: Node) -> None:
        """Begin unconfigured."""
        self._node = node
        self._lock = Lock()
        # Who comes late sees the state, and no older one.
        self._publisher = node.create_publisher(
            State, '~/state', QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL),
            qos_overriding_options=QoSOverridingOptions.with_default_policies())
        self._message = State(stamp=node.get_clock().now().to_msg(), state=State.UNCONFIGURED)
        self._publisher.publish(self._message)

    @property
    def state(self) -> int:
        """One of State's constants."""
        return int(self._message.state)

    @property
    def message(self) -> State:
        """What was published last; not to be changed."""
        return self._message

    def set(self, **fields: Any) -> None:
        """Change fields of the message; it is published where one of them has changed."""
        with self._lock:
            changed = {name: value for name, value in fields.items() if getattr(self._message, name) != value}
            if not changed:
                return
            old = {name: getattr(self._message, name) for name in State.get_fields_and_field_types()}
            self._message = State(**{**old, **changed, 'stamp': self._node.get_clock().now().to_msg()})
            self._publisher.publish(self._message)

    def unconfigured(self, error: str = '') -> None:
        """No model is loaded, because of `error` where there is one."""
        self.set(state=State.ERROR if error else State.UNCONFIGURED, error=error, load_progress=0.0, model='',
                 backend='', vision=False, backends=[], running_goals=[], queued_goals=0)

    def loading(self, model: str, progress: float) -> None:
        """Tell how much of a model is loaded, 0 .. 1."""
        self.set(state=State.LOADING, error='', model=model, load_progress=progress)

    def loaded(self, backend: str, vision: bool) -> None:
        """Tell that the model could serve, and nobody is served; `vision`: it sees images."""
        self.set(state=State.INACTIVE, load_progress=1.0, backend=backend, vision=vision, backends=[], running_goals=[],
                 queued_goals=0)

    def serving(self, running_goals: Sequence[UUID], queued_goals: int, backends: Sequence[str]) -> None:
        """Tell which goals run, how many wait, and which backends can answer."""
        self.set(state=State.BUSY if running_goals else State.IDLE, backends=list(backends),
                 running_goals=list(running_goals), queued_goals=queued_goals)

    def rejected(self, reason: str) -> None:
        """Count a rejected goal and log why."""
        reason = one_line(reason)
        self._node.get_logger().warning(f'goal rejected: {reason}', throttle_duration_sec=0.5)
        self.set(rejected_goals=self._message.rejected_goals + 1, last_rejection=reason)
