# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Start the chat node: `ros2 launch tinychat_ros chat.launch.py model:=DIRECTORY`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, EmitEvent, OpaqueFunction, RegisterEventHandler
from launch.conditions import UnlessCondition
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

CONFIG = str(Path(__file__).resolve().parents[1] / 'config' / 'chat.yaml')

# Each is a parameter of the node; what is left empty is taken from params_file. name: type, description
PARAMETERS = {
    'model': (str, 'directory of a split checkpoint; without one, the default model, where it is'),
    'precision': (str, 'W4A8, W4A16, W8A8, W8A16 or W16A16; without one, as the weights are stored'),
    'backend': (str, 'what decodes: auto, cpu or cuda'),
    'threads': (int, 'threads that decode; 0: every physical core that the process may use'),
    'max_seq_len': (int, "positions of the KV cache; 0: the model's context length"),
    'use_sim_time': (bool, 'true: take time stamps from /clock'),
    'autostart': (bool, 'false: a lifecycle manager configures and activates the node'),
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
                  for name, (_, description) in PARAMETERS.items()]
    others = [DeclareLaunchArgument(name, default_value=default, description=description)
              for name, (default, description) in OTHERS.items()]
    return LaunchDescription([*parameters, *others, OpaqueFunction(function=start)])


def start(context: LaunchContext) -> list[Any]:
    """Return the node, and the end of the launch with it."""
    values = {name: LaunchConfiguration(name) for name in (*PARAMETERS, *OTHERS)}
    params_file = Path(values['params_file'].perform(context)).resolve()
    if not params_file.is_file():  # launch would warn and start the node without it
        raise FileNotFoundError(f'params_file: {params_file} is not a file')
    given = {name: ParameterValue(values[name], value_type=kind)
             for name, (kind, _) in PARAMETERS.items() if values[name].perform(context)}
    # Not launch_ros's LifecycleNode: the node starts itself, and the ROS context that LifecycleNode brings into
    # the launch process makes every Ctrl-C an error.
    node = Node(
        package='tinychat_ros', executable='chat_node', name='tinychat', namespace=values['namespace'],
        parameters=[str(params_file), given], output='screen',
        arguments=['--ros-args', '--log-level', values['log_level']],
        respawn=values['use_respawn'], respawn_delay=2.0,
        sigterm_timeout='15')  # on a busy board it takes longer than launch's 5 s to end all goals
    return [node, RegisterEventHandler(OnProcessExit(target_action=node, on_exit=end),
                                       condition=UnlessCondition(values['use_respawn']))]


def end(event: Any, _: LaunchContext) -> EmitEvent:
    """End the launch with its node; only an exception lets `ros2 launch` end with another exit code than 0."""
    if event.returncode:
        raise RuntimeError(f'the chat node ended with exit code {event.returncode}')
    return EmitEvent(event=Shutdown(reason='the node has ended'))
