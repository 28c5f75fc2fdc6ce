# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
A robot's bringup with a language model. Copy the action `chat` into your own launch file.

    ros2 launch tinychat_ros bringup.launch.py model:=robot.urdf language_model:=/models/llama-3.2-1b
"""

from __future__ import annotations

import os

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess, GroupAction, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

SHARE = get_package_share_directory('tinychat_ros')


def generate_launch_description() -> LaunchDescription:
    """Start the robot and the chat node. If the chat node fails or exits, the robot keeps running."""
    arguments = [
        DeclareLaunchArgument('model', default_value='robot.urdf', description='URDF of the robot'),
        DeclareLaunchArgument('language_model', default_value='', description='directory of a split checkpoint'),
    ]
    # Stands for the robot's own nodes.
    robot = ExecuteProcess(name='robot', output='screen', cmd=[
        'ros2', 'topic', 'pub', '--rate', '1', '/robot_model', 'std_msgs/msg/String',
        ["{data: '", LaunchConfiguration('model'), "'}"]])
    # The group limits the arguments to the chat node: outside of it, `model` is still the URDF.
    chat = GroupAction([IncludeLaunchDescription(
        PythonLaunchDescriptionSource(os.path.join(SHARE, 'launch', 'chat.launch.py')),
        launch_arguments={
            'model': LaunchConfiguration('language_model'),
            'params_file': os.path.join(SHARE, 'config', 'speech.yaml'),
            'namespace': 'head',
            'name': 'talker',
            'remaps': '~/prompt:=/speech/heard ~/prompt/stop:=/speech/stop',
            'sentence_topic': '/speech/say',
            'nice': '5',            # control loops have priority
            'use_respawn': 'true',  # restart after a crash, or after the kernel killed it
        }.items())])
    return LaunchDescription([*arguments, chat, robot])
