# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Start the chat node: `ros2 launch tinychat_ros chat.launch.py model:=DIRECTORY`."""

from __future__ import annotations

from pathlib import Path

from launch.actions import DeclareLaunchArgument, EmitEvent, OpaqueFunction, RegisterEventHandler
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode
import yaml

from launch import LaunchContext, LaunchDescription

CONFIG = str(Path(__file__).resolve().parents[1] / 'config' / 'chat.yaml')

# Each is a parameter of the node; what is left empty is taken from params_file.
PARAMETERS = {
    'model': 'directory of a split checkpoint; without one, the default model, where it is',
    'precision': 'W4A8, W4A16, W8A8, W8A16 or W16A16; without one, as the weights are stored',
    'backend': 'what decodes: auto or cpu',
    'threads': 'threads that decode; 0: every physical core that the process may use',
    'max_seq_len': "positions of the KV cache; 0: the model's context length",
    'use_sim_time': 'true: take time stamps from /clock',
    'autostart': 'false: a lifecycle manager configures and activates the node',
}
# name: default, description
OTHERS = {
    'namespace': ('', 'namespace of the node'),
    'params_file': (CONFIG, 'YAML file with parameters; arguments that are given win'),
    'log_level': ('info', 'debug, info, warn or error'),
    'use_respawn': ('false', 'true: start the node again when it ends'),
}


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and the node."""
    parameters = [DeclareLaunchArgument(name, default_value='', description=description)
                  for name, description in PARAMETERS.items()]
    others = [DeclareLaunchArgument(name, default_value=default, description=description)
              for name, (default, description) in OTHERS.items()]
    return LaunchDescription([*parameters, *others, OpaqueFunction(function=start)])


def start(context: LaunchContext) -> list[object]:
    """Return the node, and the end of the launch with it."""
    values = {name: LaunchConfiguration(name).perform(context) for name in (*PARAMETERS, *OTHERS)}
    # A path may look like a number; all else has the type that YAML gives it.
    given = {name: values[name] if name == 'model' else yaml.safe_load(values[name])
             for name in PARAMETERS if values[name]}
    use_respawn = bool(yaml.safe_load(values['use_respawn']))
    node = LifecycleNode(
        package='tinychat_ros', executable='chat_node', name='tinychat', namespace=values['namespace'],
        parameters=[values['params_file'], given], output='screen',
        arguments=['--ros-args', '--log-level', values['log_level']],
        respawn=use_respawn, respawn_delay=2.0)
    if use_respawn:
        return [node]
    # Without its node a launch has nothing to do.
    return [node, RegisterEventHandler(OnProcessExit(
        target_action=node, on_exit=[EmitEvent(event=Shutdown(reason='the node has ended'))]))]
