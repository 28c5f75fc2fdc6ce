# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A subscriber that stands still costs nobody else anything."""

from __future__ import annotations

from collections.abc import Callable
import signal
import sys

from action_msgs.msg import GoalStatus
from processes import Process
from robot import Robot
from scripted_engine import ScriptedEngine
from waiting import wait_for

SUBSCRIBER = """
import sys
import rclpy
from tinychat_ros.interfaces import Token
rclpy.init()
node = rclpy.create_node('stalls', namespace=sys.argv[1])
node.create_subscription(Token, 'tinychat/tokens', lambda token: print(token.index, flush=True), 1000)
rclpy.spin(node)
"""


def test_it_is_stopped_in_mid_answer(start: Callable[..., Robot], engine: ScriptedEngine) -> None:
    robot = start(publish_period=0.0)
    engine.context_length, engine.words, engine.delay = 2048, ['word '] * 1500, 0.001
    subscriber = Process(sys.executable, '-c', SUBSCRIBER, robot.node.get_namespace())
    try:
        topic = f'{robot.node.get_namespace()}/tinychat/tokens'
        wait_for(lambda: robot.node.count_subscribers(topic) == 2)
        goal = robot.send(max_new_tokens=1500)
        subscriber.says('100\n')
        subscriber.send_signal(signal.SIGSTOP)
        status, result = goal.result(120.0)
        assert (status, result.new_tokens) == (GoalStatus.STATUS_SUCCEEDED, 1500)
        pieces = robot.pieces(goal.handle.goal_id)
        assert [piece.index for piece in pieces] == list(range(1501))
    finally:
        subscriber.process.kill()
        subscriber.ends()
