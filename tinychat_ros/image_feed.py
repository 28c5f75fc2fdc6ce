# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A subscription to an image topic. Several goals share it, and it may stay open for the next goal."""

from __future__ import annotations

from threading import Condition
from time import monotonic
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message

from tinychat_ros.distribution import SubscriptionEventCallbacks

# The QoS of most cameras; it is also compatible with reliable publishers.
FRAME_QOS = QoSProfile(depth=1, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.BEST_EFFORT)


class ImageFeed:
    """
    Keeps the newest frame of a topic as bytes. A frame is only deserialized if a goal takes it.

    `users`: how many goals wait for a frame; `left_at`: when the last of them left.
    """

    def __init__(self, node: Node, group: CallbackGroup, kind: type[Any], topic: str) -> None:
        """Subscribe; `kind` is the class of the messages."""
        self.kind = kind
        self.users = 0
        self.left_at = monotonic()
        self._node = node
        self._changed = Condition()
        self._data: bytes | None = None
        self._came_at = 0.0
        self._period = 0.0  # between the last two frames [s]
        # A waiting executor tolerates that a subscription is destroyed, but not that its events are.
        self._subscription = node.create_subscription(
            kind, topic, self._on_frame, FRAME_QOS, callback_group=group, raw=True,
            event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False))

    def frame(self, seconds: float) -> Any:
        """
        Return the newest frame, if it is not older than one period of the camera, otherwise the next one.

        Returns None if no frame arrives within `seconds`.
        """
        with self._changed:
            if monotonic() - self._came_at > self._period:
                self._data = None
            self._changed.wait_for(lambda: self._data is not None, seconds)
            return None if self._data is None else deserialize_message(self._data, self.kind)

    def close(self) -> None:
        """Unsubscribe."""
        self._node.destroy_subscription(self._subscription)

    def _on_frame(self, data: bytes) -> None:
        with self._changed:
            now = monotonic()
            self._period = now - self._came_at if self._came_at else 0.0
            self._data, self._came_at = data, now
            self._changed.notify_all()
