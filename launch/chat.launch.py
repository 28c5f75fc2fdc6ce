# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Start the chat node: `ros2 launch tinychat_ros chat.launch.py model:=DIRECTORY`."""

from __future__ import annotations

from pathlib import Path

from launch.actions import DeclareLaunchArgument, EmitEvent, RegisterEventHandler
from launch.conditions import UnlessCondition
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchDescription

CONFIG = str(Path(__file__).resolve().parents[1] / 'config' / 'chat.yaml')

# name, default, description, type of the node's parameter (None: not one)
ARGUMENTS = (
    ('model', '', 'directory of a split checkpoint; empty: the default model, where there is one', str),
    ('precision', '', 'W4A8, W4A16, W8A8, W8A16 or W16A16; empty: as the weights are stored', str),
    ('backend', 'auto', 'what decodes: auto or cpu', str),
    ('threads', '0', 'threads that decode; 0: every physical core that the process may use', int),
    ('max_seq_len', '0', "positions of the KV cache; 0: the model's context length", int),
    ('namespace', '', 'namespace of the node', None),
    ('params_file', CONFIG, 'YAML file with parameters; the arguments above win where they are set', None),
    ('use_sim_time', 'false', 'take time stamps from /clock', bool),
    ('log_level', 'info', 'debug, info, warn or error', None),
    ('use_respawn', 'false', 'start the node again when it ends', None),
)


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and the node."""
    values = {name: LaunchConfiguration(name) for name, *_ in ARGUMENTS}
    overrides = {name: ParameterValue(values[name], value_type=kind) for name, _, _, kind in ARGUMENTS if kind}
    node = Node(
        package='tinychat_ros', executable='chat_node', name='tinychat', namespace=values['namespace'],
        parameters=[values['params_file'], overrides], output='screen',
        arguments=['--ros-args', '--log-level', values['log_level']],
        respawn=values['use_respawn'], respawn_delay=2.0)
    return LaunchDescription([
        *(DeclareLaunchArgument(name, default_value=default, description=description)
          for name, default, description, _ in ARGUMENTS),
        node,
        # Without its node a launch has nothing to do.
        RegisterEventHandler(OnProcessExit(target_action=node, on_exit=[EmitEvent(event=Shutdown())]),
                             condition=UnlessCondition(values['use_respawn'])),
    ])
