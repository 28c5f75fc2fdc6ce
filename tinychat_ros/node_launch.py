# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What the launch files of the nodes share: arguments, parameters, and a node that stops nothing but itself."""

from __future__ import annotations

from collections.abc import Mapping
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
from launch_ros import actions as ros_actions
from launch_ros.parameter_descriptions import ParameterFile, ParameterValue
from rclpy.validate_namespace import validate_namespace
from rclpy.validate_node_name import validate_node_name


class NodeLaunch:
    """
    The launch of one node of this package.

    `what`: the node in messages, such as 'chat'. `parameters`: each a type and a description; if an argument is empty,
    the value in params_file applies. `others`: each a type, a default and a description; all that `_node_actions` reads
    must be there: name, namespace, remaps, params_file, log_level, use_respawn and shutdown_on_exit.
    """

    def __init__(self, what: str, executable: str, parameters: Mapping[str, tuple[type, str]],
                 others: Mapping[str, tuple[type, str, str]]) -> None:
        """Take the arguments of the launch file."""
        self._what = what
        self._executable = executable
        self._parameters = parameters
        self._others = others
        self._logger = get_logger(f'{what}.launch.py')

    def description(self) -> LaunchDescription:
        """Declare the arguments and the node in their own scope, so that no default reaches another launch file."""
        parameters = [DeclareLaunchArgument(name, default_value='', description=description)
                      for name, (_, description) in self._parameters.items()]
        others = [DeclareLaunchArgument(name, default_value=default, description=description)
                  for name, (_, default, description) in self._others.items()]
        return LaunchDescription([GroupAction([*parameters, *others, OpaqueFunction(function=self._start)])])

    def _start(self, context: LaunchContext) -> list[Any]:
        """Return the node. A wrong argument only logs an error, unless shutdown_on_exit is true."""
        passed = self._arguments_passed(context)
        try:
            return self._node_actions(context, passed)
        except Exception as error:  # no error here may stop a robot's launch
            if passed.get('shutdown_on_exit', '').lower() == 'true':
                raise
            self._logger.error(f'the {self._what} node is not started: {" ".join(str(error).split())}')
            return []

    def _arguments_passed(self, context: LaunchContext) -> dict[str, str]:
        """
        Return the arguments that the command line or the including launch file passes to this file.

        A launch file also sees every argument of the files that include it, such as a URDF called `model`. launch does
        not record which ones are passed, but the action that includes this file is still on the stack.
        """
        values = context.launch_configurations
        frame = currentframe()
        while frame is not None:
            entity = frame.f_locals.get('entity')
            if isinstance(entity, IncludeLaunchDescription):
                passed = {perform_substitutions(context, normalize_to_list_of_substitutions(name))
                          for name, _ in entity.launch_arguments}
                defaults = dict.fromkeys(self._parameters, '') | {
                    name: default for name, (_, default, _) in self._others.items()}
                foreign = [f'{name}:={values[name]}' for name in defaults
                           if name not in passed and values[name] != defaults[name]]
                if foreign:
                    self._logger.info(
                        f'ignored arguments of the including launch file: {" ".join(foreign)}; pass what is meant for '
                        f'the {self._what} node in launch_arguments')
                return {name: values[name] for name in defaults if name in passed}
            frame = frame.f_back
        return dict(values)

    def _node_actions(self, context: LaunchContext, passed: dict[str, str]) -> list[Any]:
        """Return the node, and the handler for shutdown_on_exit if it is true. Raises ValueError for a bad argument."""
        def typed(name: str, kind: type, text: str) -> ParameterValue:
            value = ParameterValue([TextSubstitution(text=text)], value_type=kind)
            try:
                value.evaluate(context)
            except ValueError as error:
                raise ValueError(f'{name}: {error}') from None
            return value

        given = {name: typed(name, kind, passed[name]) for name, (kind, _) in self._parameters.items()
                 if passed.get(name)}
        others = {name: typed(name, kind, passed.get(name, default)).value
                  for name, (kind, default, _) in self._others.items()}
        validate_node_name(others['name'])
        validate_namespace(f"/{others['namespace'].strip('/')}")
        params_file = Path(others['params_file']).expanduser().resolve()
        if not params_file.is_file():  # launch would only warn, and start the node without it
            raise ValueError(f'params_file: {params_file} is not a file')
        parameters = ParameterFile(str(params_file), allow_substs=True)
        try:
            parameters.evaluate(context)
        except Exception as error:
            raise ValueError(
                f'{params_file}: launch evaluates every $(substitution), even in a comment: {error}') from None
        if others['use_respawn'] and others['shutdown_on_exit']:
            raise ValueError('use_respawn and shutdown_on_exit exclude each other')
        # Not launch_ros's LifecycleNode: the node configures itself, and the ROS context that LifecycleNode creates in
        # the launch process turns every Ctrl-C into an error.
        node = ros_actions.Node(
            package='tinychat_ros', executable=self._executable, name=others['name'], namespace=others['namespace'],
            parameters=[parameters, given], remappings=[rule(text) for text in others['remaps'].split()],
            output='screen', arguments=['--ros-args', '--log-level', others['log_level']],
            respawn=others['use_respawn'], respawn_delay=2.0,
            sigterm_timeout='15')  # on a busy computer, ending all goals takes longer than launch's default of 5 s
        if not others['shutdown_on_exit']:
            return [node]
        return [node, RegisterEventHandler(OnProcessExit(target_action=node, on_exit=self._end))]

    def _end(self, event: Any, _: LaunchContext) -> EmitEvent:
        """End the launch. Only an exception makes `ros2 launch` exit with a code other than 0."""
        if event.returncode:
            raise RuntimeError(f'the {self._what} node exited with code {event.returncode}')
        return EmitEvent(event=Shutdown(reason=f'the {self._what} node has exited'))


def rule(text: str) -> tuple[str, str]:
    """Split a remapping rule FROM:=TO into its two names."""
    old, _, new = text.partition(':=')
    if not old or not new:
        raise ValueError(f"remaps: '{text}' is not FROM:=TO")
    return old, new
