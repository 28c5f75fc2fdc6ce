# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A camera of 30 Hz beside 500 goals that look at it: no memory is gained, and no frame is older than its goal."""

from __future__ import annotations

from collections.abc import Sequence
import os
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rclpy
from rclpy.qos import qos_profile_sensor_data
from robot import Robot
from scripted_engine import ScriptedEngine
from sensor_msgs.msg import Image

WIDTH, HEIGHT, RATE, GOALS, WARM = 1280, 720, 30, 500, 100
GAINED = 16 << 20  # six images of 2.8 MB; the client's own records grow, too


class SeeingEngine(ScriptedEngine):
    """Notes the number of each frame, which is in its first three bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.images = SimpleNamespace(count=lambda width, height: 1)
        self.seen: list[int] = []

    def encode_images(self, images: Sequence[Any], cancel: Any = None) -> list[Any]:
        """Note the number."""
        self.seen += [int.from_bytes(bytes(image.pixels[0, 0]), 'big') for image in images]
        return [SimpleNamespace(rows=np.zeros((1, 1))) for _ in images]


class Camera:
    """Publishes in a thread of its own, as a process beside would."""

    def __init__(self, namespace: str) -> None:
        self.count = 0
        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        self._node = rclpy.create_node('camera', namespace=namespace, context=self._context)
        self._publisher = self._node.create_publisher(Image, 'front', qos_profile_sensor_data)
        self._message = Image(width=WIDTH, height=HEIGHT, encoding='rgb8', step=3 * WIDTH,
                              data=bytes(3 * WIDTH * HEIGHT))
        self._ends = Event()
        self._thread = Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._ends.wait(1 / RATE):
            for i, byte in enumerate((self.count + 1).to_bytes(3, 'big')):
                self._message.data[i] = byte
            self._publisher.publish(self._message)
            self.count += 1

    def close(self) -> None:
        """End."""
        self._ends.set()
        self._thread.join()
        self._node.destroy_node()
        self._context.try_shutdown()


def resident() -> int:
    """Return the resident memory of this process [bytes]."""
    return int(Path('/proc/self/statm').read_text().split()[1]) * os.sysconf('SC_PAGE_SIZE')


@pytest.mark.large
def test_a_camera_beside_many_goals_costs_no_memory_and_no_frame_is_old() -> None:
    engine = SeeingEngine()
    robot = Robot(lambda *_, **__: engine)
    camera = Camera(robot.node.get_namespace())
    try:
        memory, began = [], []
        for i in range(GOALS):
            began.append(camera.count)
            robot.tokens.clear()
            robot.states.clear()
            _, result = robot.send(image_topics=['front']).result()
            assert result.finish_reason == 'stop', result.error_msg
            if i >= WARM:
                memory.append(resident())
        assert len(engine.seen) == GOALS
        assert [(begin, seen) for begin, seen in zip(began, engine.seen, strict=True) if seen < begin] == []
        half = len(memory) // 2
        gained = np.median(memory[half:]) - np.median(memory[:half])
        print(f'{GOALS} goals, {camera.count} frames: {gained / 1e6:+.1f} MB between the halves')
        assert gained < GAINED
    finally:
        camera.close()
        robot.close()
