#!/usr/bin/env python3
# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Caption a camera: twice a second, publish one sentence about its newest frame on `caption`.

    python3 camera_caption.py --ros-args -p image_topic:=/camera/image_raw
"""

from __future__ import annotations

from contextlib import suppress
import sys

import rclpy
from rclpy.action import ActionClient
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from std_msgs.msg import String

from tinychat_interfaces.action import Chat

PERIOD = 0.5  # [s]


class Captioner(Node):
    """Asks again only after the last answer: a slow model captions less often, and no queue grows."""

    def __init__(self) -> None:
        """Take the parameters `image_topic` and `prompt`."""
        super().__init__('captioner')
        topic = self.declare_parameter('image_topic', 'image_raw').value
        prompt = self.declare_parameter('prompt', 'Describe what you see in one short sentence.').value
        # No conversation: each frame is described independently.
        self._goal = Chat.Goal(prompt=prompt, image_topics=[self.resolve_topic_name(topic)], max_new_tokens=32)
        self._client: ActionClient = ActionClient(self, Chat, 'tinychat/chat')
        self._captions = self.create_publisher(String, 'caption', 1)
        self._is_asking = False
        self.create_timer(PERIOD, self._ask)

    def _ask(self) -> None:
        if self._is_asking or not self._client.server_is_ready():
            return
        self._is_asking = True
        self._client.send_goal_async(self._goal).add_done_callback(self._on_sent)

    def _on_sent(self, sent: rclpy.Future) -> None:
        if not sent.result().accepted:
            self.get_logger().warning('the goal was rejected; see last_rejection in tinychat/state',
                                      throttle_duration_sec=10.0)
            self._is_asking = False
            return
        sent.result().get_result_async().add_done_callback(self._on_result)

    def _on_result(self, ended: rclpy.Future) -> None:
        self._is_asking = False
        result = ended.result().result
        if result.error_code:  # for example NO_IMAGE: the camera is not running
            self.get_logger().warning(result.error_msg, throttle_duration_sec=10.0)
            return
        self._captions.publish(String(data=result.text.strip()))


def main() -> int:
    """Caption until Ctrl+C."""
    rclpy.init()
    with suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(Captioner())
    return 0


if __name__ == '__main__':
    sys.exit(main())
