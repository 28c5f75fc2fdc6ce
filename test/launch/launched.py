# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What the launch tests share: the launch file with the real model, and a client."""

from __future__ import annotations

import os
from pathlib import Path
import tempfile
from time import sleep
from typing import Any
import unittest

from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_testing.actions import ReadyToTest
import rclpy
from rclpy.action import ActionClient
from rclpy.signals import SignalHandlerOptions
import smollm2

from tinychat_ros.distribution import this_machine_only
from tinychat_ros.interfaces import Chat

# On this machine alone, in a domain that no other test run has.
os.environ.update(this_machine_only())
os.environ['ROS_DOMAIN_ID'] = str(1 + os.getpid() % 100)

NAMESPACE = 'robot'
LAUNCH = Path(__file__).parents[2] / 'launch'


def greedy() -> str:
    """Return a parameter file under which the model always gives the same answer, the one that it is asked for."""
    path = Path(tempfile.mkdtemp(prefix='tinychat_'), 'params.yaml')
    path.write_text('/**: {ros__parameters: {precision: W4A16, sampling: {temperature: 0.0}}}')
    return str(path)


def launched(**arguments: str) -> LaunchDescription:
    """Launch the node with these arguments."""
    given = {'model': str(smollm2.checkpoint()), 'namespace': NAMESPACE, 'params_file': greedy(), **arguments}
    source = PythonLaunchDescriptionSource(str(LAUNCH / 'chat.launch.py'))
    return LaunchDescription([IncludeLaunchDescription(source, launch_arguments=given.items()),
                              ReadyToTest()])


class WithClient(unittest.TestCase):
    """A client of the launched node."""

    def setUp(self) -> None:
        """Make a client."""
        self.context = rclpy.Context()
        rclpy.init(context=self.context, signal_handler_options=SignalHandlerOptions.NO)
        self.node = rclpy.create_node('client', namespace=NAMESPACE, context=self.context)
        self.executor = rclpy.executors.SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)

    def tearDown(self) -> None:
        """End it."""
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)

    def wait(self, future: Any) -> Any:
        """Return what a future brings."""
        self.executor.spin_until_future_complete(future, timeout_sec=60)
        assert future.done(), 'no answer within 60 s'
        return future.result()

    def call(self, kind: Any, name: str, request: Any) -> Any:
        """Call a service of the node."""
        client = self.node.create_client(kind, f'tinychat/{name}')
        assert client.wait_for_service(60)
        return self.wait(client.call_async(request))

    def ask(self, prompt: str) -> Chat.Result:
        """Return the result of a goal, once there is a node that takes it."""
        client = ActionClient(self.node, Chat, 'tinychat/chat')
        assert client.wait_for_server(60)
        goal = None
        for _ in range(12):
            # DDS believes in a node that was killed for 20 s; what is sent to it meanwhile, nobody answers.
            sent = client.send_goal_async(Chat.Goal(prompt=prompt))
            self.executor.spin_until_future_complete(sent, timeout_sec=5)
            goal = sent.result() if sent.done() else None
            if goal is not None and goal.accepted:
                break
            sleep(0.5)  # a node that comes back has its action before its model
        assert goal is not None and goal.accepted, 'no node took the goal within 60 s'
        result = self.wait(goal.get_result_async()).result
        client.destroy()
        return result
