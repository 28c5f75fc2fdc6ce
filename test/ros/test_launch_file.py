# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What the launch file passes to the node, with a launch that only notes it; test/launch has the real one."""

from __future__ import annotations

from pathlib import Path
import runpy
import sys
from types import ModuleType
from typing import Any

import pytest

from tinychat_ros.parameters import PARAMETERS

LAUNCH = Path(__file__).parents[2] / 'launch' / 'chat.launch.py'
NAMES = {'launch': ['LaunchContext', 'LaunchDescription'],
         'launch.actions': ['DeclareLaunchArgument', 'EmitEvent', 'OpaqueFunction', 'RegisterEventHandler'],
         'launch.conditions': ['UnlessCondition'], 'launch.event_handlers': ['OnProcessExit'],
         'launch.events': ['Shutdown'], 'launch.substitutions': ['LaunchConfiguration'], 'launch_ros': [],
         'launch_ros.actions': ['Node'], 'launch_ros.parameter_descriptions': ['ParameterValue']}


class Noted:
    """What a launch file made: the arguments of a constructor."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Note them."""
        self.args, self.kwargs = args, kwargs

    def perform(self, values: dict[str, str]) -> str:
        """Return the value of a LaunchConfiguration."""
        return values[self.args[0]]


@pytest.fixture
def launch_file(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return the names of the launch file."""
    for name, classes in NAMES.items():
        module = ModuleType(name)
        for cls in classes:
            setattr(module, cls, type(cls, (Noted,), {}))
        monkeypatch.setitem(sys.modules, name, module)
    return runpy.run_path(str(LAUNCH))


def started(launch_file: dict[str, Any], **given: str) -> tuple[Any, Any, dict[str, str]]:
    """Return the node, the handler of its end, and the values of all arguments."""
    *arguments, function = launch_file['generate_launch_description']().args[0]
    values = {argument.args[0]: argument.kwargs['default_value'] for argument in arguments} | given
    assert len(values) == len(arguments), 'an argument that the launch file does not know'
    node, handler = function.kwargs['function'](values)
    return node, handler, values


def test_every_argument_is_described(launch_file: dict[str, Any]) -> None:
    *arguments, _ = launch_file['generate_launch_description']().args[0]
    assert len(arguments) == 11
    assert all(argument.kwargs['description'] for argument in arguments)


def test_every_parameter_is_one_of_the_node_with_its_type(launch_file: dict[str, Any]) -> None:
    types = {declared.name: type(declared.default) for declared in PARAMETERS} | {'use_sim_time': bool}
    assert {name: kind for name, (kind, _) in launch_file['PARAMETERS'].items()}.items() <= types.items()


def test_what_is_not_given_is_left_to_the_parameter_file(launch_file: dict[str, Any]) -> None:
    node, _, _ = started(launch_file)
    assert node.kwargs['parameters'] == [str(LAUNCH.parents[1] / 'config' / 'chat.yaml'), {}]


def test_what_is_given_comes_behind_the_parameter_file(launch_file: dict[str, Any], tmp_path: Path) -> None:
    mine = tmp_path / 'mine.yaml'
    mine.touch()
    given = {'model': '1234', 'threads': '2', 'autostart': 'false'}
    node, _, values = started(launch_file, params_file=str(mine), **given)
    file, overrides = node.kwargs['parameters']
    assert file == str(mine)
    assert {name: value.args[0].perform(values) for name, value in overrides.items()} == given
    assert {name: value.kwargs['value_type'] for name, value in overrides.items()} == {
        'model': str, 'threads': int, 'autostart': bool}


def test_a_parameter_file_that_is_missing_is_an_error(launch_file: dict[str, Any]) -> None:
    with pytest.raises(FileNotFoundError, match=r'missing\.yaml is not a file'):
        started(launch_file, params_file='missing.yaml')


def test_namespace_and_log_level(launch_file: dict[str, Any]) -> None:
    node, _, values = started(launch_file, namespace='kitchen', log_level='debug')
    assert node.kwargs['namespace'].perform(values) == 'kitchen'
    *options, level = node.kwargs['arguments']
    assert (options, level.perform(values)) == (['--ros-args', '--log-level'], 'debug')


def test_the_launch_ends_with_its_node_unless_it_respawns(launch_file: dict[str, Any]) -> None:
    node, handler, _ = started(launch_file)
    assert handler.args[0].kwargs['target_action'] is node
    for argument in (node.kwargs['respawn'], handler.kwargs['condition'].args[0]):
        assert argument.args == ('use_respawn',)
