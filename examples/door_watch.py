#!/usr/bin/env python3
# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Answer a question about a camera's newest frame with yes or no: publish on `door_is_open` whether the door is open.

    python3 door_watch.py --ros-args -p image_topic:=/camera/image_raw
"""

from __future__ import annotations

from contextlib import suppress
import sys

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from std_msgs.msg import Bool

from tinychat_interfaces.srv import Decide

PERIOD = 1.0  # [s]
SURE = 0.8  # minimum probability of an answer that counts


class DoorWatch(Node):
    """Asks ~/decide, which generates no text: the model reads the image once, and each answer gets a probability."""

    def __init__(self) -> None:
        """Take the parameters `image_topic` and `question`."""
        super().__init__('door_watch')
        topic = self.declare_parameter('image_topic', 'image_raw').value
        question = self.declare_parameter('question', 'Is the door open? Answer yes or no.').value
        self._request = Decide.Request(question=question, image_topics=[self.resolve_topic_name(topic)],
                                       options=['Yes', 'No'])
        self._client = self.create_client(Decide, 'tinychat/decide')
        self._is_open = self.create_publisher(Bool, 'door_is_open', 1)
        self._is_asking = False
        self.create_timer(PERIOD, self._ask)

    def _ask(self) -> None:
        if self._is_asking or not self._client.service_is_ready():
            return
        self._is_asking = True
        self._client.call_async(self._request).add_done_callback(self._on_answer)

    def _on_answer(self, answered: rclpy.Future) -> None:
        self._is_asking = False
        answer = answered.result()
        if not answer.success:
            self.get_logger().warning(answer.message, throttle_duration_sec=10.0)
        elif answer.probabilities[answer.best] < SURE:
            self.get_logger().info(f'not sure: {answer.probabilities[0]:.0%} yes', throttle_duration_sec=10.0)
        else:
            self._is_open.publish(Bool(data=answer.best == 0))


def main() -> int:
    """Watch until Ctrl+C."""
    rclpy.init()
    with suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(DoorWatch())
    return 0


if __name__ == '__main__':
    sys.exit(main())
