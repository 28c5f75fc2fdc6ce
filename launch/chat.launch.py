# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Start the chat node: `ros2 launch tinychat_ros chat.launch.py model:=DIRECTORY`.

A robot's bringup can include this file. Whatever happens to the node, the rest of the launch goes on, and only
arguments that the bringup passes to this file have an effect.
"""

from __future__ import annotations

from inspect import currentframe
from pathlib import Path
from typing import Any

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.logging import get_logger
from launch.substitutions import TextSubstitution
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterFile, ParameterValue
from rclpy.validate_namespace import validate_namespace
from rclpy.validate_node_name import validate_node_name

CONFIG = str(Path(__file__).resolve().parents[1] / 'config' / 'chat.yaml')

# Parameters of the node. If an argument is empty, the value in params_file applies. name: type, description
PARAMETERS = {
    'model': (str, 'directory of a split checkpoint; empty: the default model, if it is installed'),
    'precision': (str, "W4, W4A16, W4A8, W8, W8A16, W8A8 or W16A16; empty: the backend's default for the weights"),
    'backend': (str, 'device that runs the model: auto, cpu or cuda'),
    'threads': (int, 'CPU threads that run the model; 0: one for each physical core that the process may use'),
    'nice': (int, "added to the niceness of the node's threads, so that control loops have priority: 0 to 19"),
    'max_seq_len': (int, "size of the KV cache [tokens]; 0: the model's context length, or less if memory is short"),
    'system_prompt': (str, 'system prompt of goals that do not set one'),
    'max_new_tokens': (int, 'maximum length of an answer, for goals that do not set it [tokens]'),
    'busy_policy': (str, 'what happens to a new goal while another goal runs: queue, reject or preempt'),
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
    """Declare the arguments and the node in their own scope, so that no default reaches another launch file."""
    parameters = [DeclareLaunchArgument(name, default_value='', description=description)
                  for name, (_, description) in PARAMETERS.items()]
    others = [DeclareLaunchArgument(name, default_value=default, description=description)
              for name, (_, default, description) in OTHERS.items()]
    return LaunchDescription([GroupAction([*parameters, *others, OpaqueFunction(function=start)])])


def start(context: LaunchContext) -> list[Any]:
    """Return the node. A wrong argument only logs an error, unless shutdown_on_exit is true."""
    passed = arguments_passed(context)
    try:
        return node_actions(context, passed)
    except Exception as error:  # no error here may stop a robot's launch
        if passed.get('shutdown_on_exit', '').lower() == 'true':
            raise
        get_logger('chat.launch.py').error(f'the chat node is not started: {" ".join(str(error).split())}')
        return []


def arguments_passed(context: LaunchContext) -> dict[str, str]:
    """
    Return the arguments that the command line or the including launch file passes to this file.

    A launch file also sees every argument of the files that include it, such as a URDF called `model`. launch does not
    record which ones are passed, but the action that includes this file is still on the stack.
    """
    values = context.launch_configurations
    frame = currentframe()
    while frame is not None:
        entity = frame.f_locals.get('entity')
        if isinstance(entity, IncludeLaunchDescription):
            passed = {perform_substitutions(context, normalize_to_list_of_substitutions(name))
                      for name, _ in entity.launch_arguments}
            defaults = dict.fromkeys(PARAMETERS, '') | {name: default for name, (_, default, _) in OTHERS.items()}
            foreign = [f'{name}:={values[name]}' for name in defaults
                       if name not in passed and values[name] != defaults[name]]
            if foreign:
                get_logger('chat.launch.py').info(
                    f'ignored arguments of the including launch file: {" ".join(foreign)}; pass what is meant for the '
                    'chat node in launch_arguments')
            return {name: values[name] for name in defaults if name in passed}
        frame = frame.f_back
    return dict(values)


def node_actions(context: LaunchContext, passed: dict[str, str]) -> list[Any]:
    """Return the node, and the handler for shutdown_on_exit if it is true. Raises ValueError for a bad argument."""
    def typed(name: str, kind: type, text: str) -> ParameterValue:
        value = ParameterValue([TextSubstitution(text=text)], value_type=kind)
        try:
            value.evaluate(context)
        except ValueError as error:
            raise ValueError(f'{name}: {error}') from None
        return value

    given = {name: typed(name, kind, passed[name]) for name, (kind, _) in PARAMETERS.items() if passed.get(name)}
    others = {name: typed(name, kind, passed.get(name, default)).value for name, (kind, default, _) in OTHERS.items()}
    validate_node_name(others['name'])
    validate_namespace(f"/{others['namespace'].strip('/')}")
    params_file = Path(others['params_file']).expanduser().resolve()
    if not params_file.is_file():  # launch would only warn, and start the node without it
        raise ValueError(f'params_file: {params_file} is not a file')
    parameters = ParameterFile(str(params_file), allow_substs=True)
    try:
        parameters.evaluate(context)
    except Exception as error:
        raise ValueError(f'{params_file}: launch evaluates every $(substitution), even in a comment: {error}') from None
    if others['use_respawn'] and others['shutdown_on_exit']:
        raise ValueError('use_respawn and shutdown_on_exit exclude each other')
    # Not launch_ros's LifecycleNode: the node configures itself, and the ROS context that LifecycleNode creates in the
    # launch process turns every Ctrl-C into an error.
    node = Node(
        package='tinychat_ros', executable='chat_node', name=others['name'], namespace=others['namespace'],
        parameters=[parameters, given], remappings=[rule(text) for text in others['remaps'].split()],
        output='screen', arguments=['--ros-args', '--log-level', others['log_level']],
        respawn=others['use_respawn'], respawn_delay=2.0,
        sigterm_timeout='15')  # on a busy computer, ending all goals takes longer than launch's default of 5 s
    if not others['shutdown_on_exit']:
        return [node]
    return [node, RegisterEventHandler(OnProcessExit(target_action=node, on_exit=end))]


def rule(text: str) -> tuple[str, str]:
    """Split a remapping rule FROM:=TO into its two names."""
    old, _, new = text.partition(':=')
    if not old or not new:
        raise ValueError(f"remaps: '{text}' is not FROM:=TO")
    return old, new


def end(event: Any, _: LaunchContext) -> EmitEvent:
    """End the launch. Only an exception makes `ros2 launch` exit with a code other than 0."""
    if event.returncode:
        raise RuntimeError(f'the chat node exited with code {event.returncode}')
    return EmitEvent(event=Shutdown(reason='the chat node has exited'))
