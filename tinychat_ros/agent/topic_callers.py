# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The calls of tools that publish on a topic, or read from one."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from time import monotonic
from typing import Any
from uuid import uuid4

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from tinychat_ros.agent.caller import Caller, CallFailedError
from tinychat_ros.agent.guarded import Guarded, GuardLostError
from tinychat_ros.agent.message_data import message_data
from tinychat_ros.agent.stop_guard import SILENCE
from tinychat_ros.agent.tool import Tool
from tinychat_ros.agent.wakeup import LONGEST_SLEEP, Wakeup

# [s] If this process was suspended for longer, the guard may have stopped the robot, and it must not start again.
LONGEST_GAP = SILENCE / 2


class Publisher(Caller):
    """Publishes a message once, or for a duration with a stop message at the end."""

    def __init__(self, node: Node, tool: Tool, guarded: Guarded) -> None:
        """Create the publisher."""
        super().__init__(node, tool)
        self._guarded = guarded
        self._publisher = node.create_publisher(tool.cls, self.interface, 10)
        if tool.stop is not None:
            guarded.prepare_topic(self.interface, tool.spec.type)

    @property
    def is_there(self) -> bool:
        """Whether anybody subscribes to the topic."""
        return self._publisher.get_subscription_count() > 0

    def call(self, values: dict[str, Any], duration: float, wakeup: Wakeup) -> dict[str, Any]:
        """Publish the message; return the duration, if the tool has one."""
        self.await_there(wakeup, self._until(), f'nobody subscribes to {self.interface}')
        if not duration:
            self._publisher.publish(self._message(values))
            return {}
        self._publish_for(duration, values, wakeup)
        return {'duration': duration}

    def _publish_for(self, duration: float, values: dict[str, Any], wakeup: Wakeup) -> None:
        assert self.tool.stop is not None
        key = uuid4().hex
        motion = _Motion(self._publisher, self._stop_message)
        try:
            self._guarded.arm_topic(key, self.interface, self.tool.spec.type, self._stop_message(), wakeup)
        except GuardLostError as error:
            raise CallFailedError(str(error)) from None
        try:
            with wakeup.at_end(motion.stop):
                self._repeat(duration, values, wakeup, motion)
        finally:
            # If this fails, the guard stays armed, and sends the message when this process ends.
            motion.stop()
            self._guarded.disarm(key)

    def _stop_message(self) -> Any:
        assert self.tool.stop is not None
        return self.tool.stop.message({}, self._node.get_clock().now().to_msg())

    def _repeat(self, duration: float, values: dict[str, Any], wakeup: Wakeup, motion: _Motion) -> None:
        begun = due = looked = monotonic()
        while True:
            wakeup.check()
            now = monotonic()
            if now - looked > LONGEST_GAP or not self._guarded.is_alive:
                raise CallFailedError(f'stopped after {looked - begun:.1f} s: the agent or its guard was interrupted')
            looked = now
            if now - begun >= duration:
                return
            if now >= due:
                motion.publish(self._message(values))
                due = max(due, now - 1.0 / self.tool.spec.rate) + 1.0 / self.tool.spec.rate
            wakeup.wait(lambda: False, min(due, begun + duration, now + LONGEST_SLEEP))


class _Motion:
    """The messages of one call. The stop message is sent once, from any thread, and nothing is sent after it."""

    def __init__(self, publisher: Any, stop_message: Callable[[], Any]) -> None:
        """Take the publisher, and the function that makes the stop message."""
        self._publisher = publisher
        self._stop_message = stop_message
        self._lock = Lock()
        self._has_stopped = False

    def publish(self, message: Any) -> None:
        """Publish a message that moves the robot, unless it was stopped."""
        with self._lock:
            if not self._has_stopped:
                self._publisher.publish(message)

    def stop(self) -> None:
        """Publish the stop message."""
        with self._lock:
            if not self._has_stopped:
                self._publisher.publish(self._stop_message())
                self._has_stopped = True


class Reader(Caller):
    """Waits for the next message of a topic, or uses the last one if the publishers keep it (transient local)."""

    @property
    def is_there(self) -> bool:
        """Whether anybody publishes on the topic."""
        return self._node.count_publishers(self.interface) > 0

    def call(self, values: dict[str, Any], duration: float, wakeup: Wakeup) -> dict[str, Any]:
        """Return the message."""
        until = self._until()
        self.await_there(wakeup, until, f'nobody publishes on {self.interface}')
        received: list[Any] = []
        # A node and an executor of its own: that of the agent fails if a subscription is destroyed while it waits.
        reader = rclpy.create_node(f'{self._node.get_name()}_reader', namespace=self._node.get_namespace(),
                                   context=self._node.context, use_global_arguments=False, enable_rosout=False,
                                   start_parameter_services=False)
        executor = SingleThreadedExecutor(context=self._node.context)
        try:
            executor.add_node(reader)
            reader.create_subscription(self.tool.cls, self.interface, received.append, self._qos())
            while not received:
                wakeup.check()
                if monotonic() > until:
                    raise CallFailedError(f'no message has come on {self.interface} within '
                                          f'{self.tool.spec.time_limit:g} s')
                executor.spin_once(LONGEST_SLEEP)
        finally:
            executor.shutdown()
            reader.destroy_node()
        return {'message': message_data(received[0], self.tool.spec.result)}

    def _qos(self) -> QoSProfile:
        """Return a QoS that is compatible with all publishers of the topic."""
        offered = [info.qos_profile for info in self._node.get_publishers_info_by_topic(self.interface)]
        keeps = bool(offered) and all(qos.durability == DurabilityPolicy.TRANSIENT_LOCAL for qos in offered)
        is_reliable = all(qos.reliability == ReliabilityPolicy.RELIABLE for qos in offered)
        return QoSProfile(
            depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL if keeps else DurabilityPolicy.VOLATILE,
            reliability=ReliabilityPolicy.RELIABLE if is_reliable else ReliabilityPolicy.BEST_EFFORT)
