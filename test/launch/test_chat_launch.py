# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The launch file with the real model: the node starts, answers a goal and ends cleanly."""

from __future__ import annotations

import os
from pathlib import Path
import tempfile
from typing import Any
import unittest

import pytest

# On this machine alone, in a domain that no other test run has.
os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
os.environ['ROS_DOMAIN_ID'] = str(1 + os.getpid() % 100)

pytest.importorskip('launch_testing', reason='launch_testing is not installed; it comes with a ROS 2 distribution')

from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
import launch_testing
from launch_testing.actions import ReadyToTest
import rclpy
from rclpy.action import ActionClient
from rclpy.signals import SignalHandlerOptions
import smollm2

from launch import LaunchDescription
from tinychat_ros.interfaces import Chat, GetModelInfo

PARAMS = """
/**:
  ros__parameters:
    max_seq_len: 256
    max_new_tokens: 7
    precision: W4A16
    sampling: {temperature: 0.0}
"""


@pytest.mark.launch_test
def generate_test_description() -> LaunchDescription:
    """Launch the node with a parameter file and, of what that sets, one argument."""
    params_file = Path(tempfile.mkdtemp(prefix='tinychat_'), 'params.yaml')
    params_file.write_text(PARAMS)
    source = PythonLaunchDescriptionSource(str(smollm2.ROOT / 'launch' / 'chat.launch.py'))
    arguments = {'model': str(smollm2.checkpoint()), 'namespace': 'robot', 'params_file': str(params_file),
                 'max_seq_len': '512'}
    return LaunchDescription([IncludeLaunchDescription(source, launch_arguments=arguments.items()), ReadyToTest()])


class TestServing(unittest.TestCase):
    """While the node runs."""

    def setUp(self) -> None:
        """Make a client."""
        self.context = rclpy.Context()
        rclpy.init(context=self.context, signal_handler_options=SignalHandlerOptions.NO)
        self.node = rclpy.create_node('client', namespace='robot', context=self.context)
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

    def test_a_goal_is_answered_under_the_parameters_of_the_file(self, proc_output: Any) -> None:
        proc_output.assertWaitFor('ready', timeout=60)
        client = ActionClient(self.node, Chat, 'tinychat/chat')
        assert client.wait_for_server(30)
        goal = self.wait(client.send_goal_async(Chat.Goal(prompt='What is the capital of France?')))
        assert goal.accepted
        result = self.wait(goal.get_result_async()).result
        client.destroy()
        assert result.text.startswith('The capital of France is Paris')
        assert result.new_tokens == 7

    def test_an_argument_wins_over_the_file_and_one_left_out_does_not(self, proc_output: Any) -> None:
        proc_output.assertWaitFor('ready', timeout=60)
        client = self.node.create_client(GetModelInfo, 'tinychat/get_model_info')
        assert client.wait_for_service(30)
        info = self.wait(client.call_async(GetModelInfo.Request()))
        assert (info.context_length, info.precision) == (512, 'W4A16')


@launch_testing.post_shutdown_test()
class TestEnd(unittest.TestCase):
    """After the launch was shut down."""

    def test_the_node_has_ended_cleanly(self, proc_info: Any) -> None:
        launch_testing.asserts.assertExitCodes(proc_info)
