# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Start the chat node and a client that asks one question, and end both after the answer.

    ros2 launch tinychat_ros chat_demo.launch.py prompt:="Why do robots need maps?"
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    IncludeLaunchDescription,
    RegisterEventHandler,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

DEMO = str(Path(__file__).resolve().parents[1] / 'config' / 'demo.yaml')
CHAT = str(Path(__file__).resolve().with_name('chat.launch.py'))


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments, include chat.launch.py and start the client."""
    prompt = DeclareLaunchArgument('prompt', default_value='Why do robots need maps?',
                                   description='prompt that the client sends')
    source = PythonLaunchDescriptionSource(CHAT)
    params_file = DeclareLaunchArgument('params_file', default_value=DEMO,
                                        description='YAML file with parameters of the node; arguments override it')
    declared = source.try_get_launch_description_without_context().get_launch_arguments()
    arguments = {argument.name: LaunchConfiguration(argument.name, default=argument.default_value)
                 for argument in declared}
    # If the node cannot start, the demo must end instead of waiting for an answer.
    chat = IncludeLaunchDescription(source, launch_arguments={
        **arguments, 'name': 'tinychat', 'exit_on_failure': 'true', 'shutdown_on_exit': 'true'}.items())
    client = Node(
        package='tinychat_ros', executable='chat_client', namespace=arguments['namespace'],
        arguments=['--timeout', '60', '--', LaunchConfiguration('prompt')], output='screen')
    return LaunchDescription([prompt, params_file, chat, client, RegisterEventHandler(
        OnProcessExit(target_action=client, on_exit=end))])


def end(event: Any, _: LaunchContext) -> EmitEvent:
    """End the launch, with an error if the answer is incomplete."""
    if event.returncode:
        raise RuntimeError(f'the client exited with code {event.returncode}')
    return EmitEvent(event=Shutdown(reason='the answer is complete'))
