# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""~/prompt and its companions: heard from publishers of either reliability."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

from tinychat_ros.distribution import start_values, SubscriptionEventCallbacks

DEPTH = 10


class PromptTopic:
    """
    A subscription that is reliable until a best-effort publisher comes, as those of audio nodes are.

    A reliable subscription hears no such publisher. A best-effort one hears all, and may miss what a publisher sends
    at once after it came: of twelve runs of `ros2 topic pub --once` one was lost. Two subscriptions would hear most
    prompts twice. Where a QoS override names the reliability, it is never changed.
    """

    def __init__(self, node: Node, name: str, kind: type[Any], callback: Callable[[Any], None],
                 group: CallbackGroup) -> None:
        """Subscribe to the topic `name` of messages of type `kind`; `callback` is called in `group`."""
        self._node = node
        self._name = name
        self._kind = kind
        self._callback = callback
        self._group = group
        self._is_changing = False
        topic = node.resolve_topic_name(name)
        is_fixed = f'qos_overrides.{topic}.subscription.reliability' in start_values(node)
        self._qos = QoSProfile(depth=DEPTH)  # rclpy writes the overrides into it
        # Without a callback of ours rclpy's own warns.
        events = SubscriptionEventCallbacks(incompatible_qos=None if is_fixed else self._on_incompatible)
        self._subscription = node.create_subscription(
            kind, name, callback, self._qos, callback_group=group, event_callbacks=events,
            qos_overriding_options=QoSOverridingOptions.with_default_policies())

    def _on_incompatible(self, _: Any) -> None:
        if not self._is_changing and self._node.executor is not None:
            self._is_changing = True
            # Not from within an event of the subscription that is to go.
            self._node.executor.create_task(self._hear_best_effort)

    def _hear_best_effort(self) -> None:
        self._node.get_logger().info(f'a publisher of {self._name} is best-effort, so the subscription is best-effort '
                                     'from now on')
        before = self._subscription
        self._qos.reliability = ReliabilityPolicy.BEST_EFFORT
        self._subscription = self._node.create_subscription(
            self._kind, self._name, self._callback, self._qos, callback_group=self._group)
        self._node.destroy_subscription(before)
