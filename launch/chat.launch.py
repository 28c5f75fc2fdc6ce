# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Start the chat node: `ros2 launch tinychat_ros chat.launch.py model:=DIRECTORY`.

A robot's bringup can include this file. Whatever happens to the node, the rest of the launch goes on, and only
arguments that the bringup passes to this file have an effect.
"""

from __future__ import annotations

from pathlib import Path

from launch import LaunchDescription

from tinychat_ros.node_launch import NodeLaunch

CONFIG = str(Path(__file__).resolve().parents[1] / 'config' / 'chat.yaml')

# Parameters of the node. If an argument is empty, the value in params_file applies. name: type, description
PARAMETERS = {
    'model': (str, 'directory of a split checkpoint; empty: the default model, if it is installed'),
    'precision': (str, "W4, W4A16 or W4A8 (the same with W5, W6 and W8), or W16A16; empty: the backend's default"),
    'backend': (str, 'device that runs the model: auto, cpu or cuda'),
    'threads': (int, 'CPU threads that run the model; 0: one for each physical core that the process may use'),
    'nice': (int, "added to the niceness of the node's threads, so that control loops have priority: 0 to 19"),
    'max_seq_len': (int, "size of the KV cache [tokens]; 0: the model's context length, or less if memory is short"),
    'system_prompt': (str, 'system prompt of goals that do not set one'),
    'max_new_tokens': (int, 'maximum length of an answer, for goals that do not set it [tokens]'),
    'busy_policy': (str, 'what happens to a new goal while no more goals can run: queue, reject or preempt'),
    'prompt_conversation_id': (str, 'conversation of the prompts from ~/prompt'),
    'sentence_topic': (str, 'topic for whole sentences of the answers, for a speech node'),
    'use_sim_time': (bool, 'true: take message stamps from /clock'),
    'autostart': (bool, 'false: a lifecycle manager configures and activates the node'),
    'exit_on_failure': (bool, 'true: the node exits if autostart fails; false: it stays alive, unconfigured'),
}
# name: type, default, description
OTHERS = {
    'name': (str, 'tinychat', 'name of the node'),
    'namespace': (str, '', 'namespace of the node'),
    'remaps': (str, '', "remapping rules, separated by spaces: '~/prompt:=/speech/heard ~/tokens:=/speech/tokens'"),
    'params_file': (str, CONFIG, 'YAML file with parameters, also with $(env HOME) and so on; arguments override it'),
    'log_level': (str, 'info', 'debug, info, warn or error'),
    'use_respawn': (bool, 'false', 'true: restart the node when it exits'),
    'shutdown_on_exit': (bool, 'false', 'true: end the whole launch when the node exits'),
}


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and the node."""
    return NodeLaunch('chat', 'chat_node', PARAMETERS, OTHERS).description()
