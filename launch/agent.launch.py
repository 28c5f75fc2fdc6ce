# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Start the agent node: `ros2 launch tinychat_ros agent.launch.py tools_file:=TOOLS.yaml`. It needs a chat node.

A robot's bringup can include this file. Whatever happens to the node, the rest of the launch goes on, and only
arguments that the bringup passes to this file have an effect.
"""

from __future__ import annotations

from pathlib import Path

from launch import LaunchDescription

from tinychat_ros.node_launch import NodeLaunch

CONFIG = str(Path(__file__).resolve().parents[1] / 'config' / 'agent.yaml')

# Parameters of the node. If an argument is empty, the value in params_file applies. name: type, description
PARAMETERS = {
    'tools_file': (str, 'YAML file with the tools: everything that the model may do with the robot'),
    'chat': (str, 'action of the chat node, relative to the namespace'),
    'dry_run': (bool, 'true: check and log every call, but send nothing to the robot'),
    'max_steps': (int, 'maximum number of calls in a task that does not set it'),
    'time_limit': (float, 'maximum time of a task that does not set it [s]; 0: no limit'),
    'use_sim_time': (bool, 'true: take message stamps from /clock'),
}
# name: type, default, description
OTHERS = {
    'name': (str, 'tinychat_agent', 'name of the node'),
    'namespace': (str, '', 'namespace of the node'),
    'remaps': (str, '', "remapping rules, separated by spaces: '/cmd_vel:=/base/cmd_vel'"),
    'params_file': (str, CONFIG, 'YAML file with parameters; arguments override it'),
    'log_level': (str, 'info', 'debug, info, warn or error'),
    'use_respawn': (bool, 'false', 'true: restart the node when it exits'),
    'shutdown_on_exit': (bool, 'false', 'true: end the whole launch when the node exits'),
}


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and the node."""
    return NodeLaunch('agent', 'agent_node', PARAMETERS, OTHERS).description()
