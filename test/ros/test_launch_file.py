# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What the launch file passes to the node, with a launch that only notes it; test/launch has the real one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
import re
import runpy
import sys
from types import ModuleType
from typing import Any

import pytest

from tinychat_ros.parameters import PARAMETERS

LAUNCH = Path(__file__).parents[2] / 'launch' / 'chat.launch.py'
NAMES = {'launch': ['LaunchContext', 'LaunchDescription'],
         'launch.actions': ['DeclareLaunchArgument', 'EmitEvent', 'GroupAction', 'IncludeLaunchDescription',
                            'OpaqueFunction', 'RegisterEventHandler'],
         'launch.event_handlers': ['OnProcessExit'], 'launch.events': ['Shutdown'], 'launch.logging': [],
         'launch.substitutions': ['TextSubstitution'], 'launch.utilities': [], 'launch_ros': [],
         'launch_ros.actions': ['Node'], 'launch_ros.parameter_descriptions': ['ParameterFile', 'ParameterValue']}

SHARED = 'tinychat_ros.node_launch'  # imports launch, too


class Noted:
    """What a launch file made: the arguments of a constructor."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Note them."""
        self.args, self.kwargs = args, kwargs

    def evaluate(self, _: Any) -> None:
        """Take a value, as ParameterValue does, or a file."""
        if 'value_type' in self.kwargs:
            text, kind = self.args[0][0].kwargs['text'], self.kwargs['value_type']
            if kind is bool and text not in ('true', 'false'):
                raise ValueError(text)
            self.value = text == 'true' if kind is bool else kind(text)


class Context:
    """A launch's arguments."""

    def __init__(self, values: dict[str, str]) -> None:
        """Note them."""
        self.launch_configurations = values


@pytest.fixture
def launch_file(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Return the names of the launch file; what it logs is in `logged`."""
    logged: list[str] = []
    for name, classes in NAMES.items():
        module = ModuleType(name)
        for cls in classes:
            setattr(module, cls, type(cls, (Noted,), {}))
        monkeypatch.setitem(sys.modules, name, module)
    logger: Any = type('Logger', (), {'info': logged.append, 'error': logged.append})
    sys.modules['launch.logging'].get_logger = lambda _: logger  # type: ignore[attr-defined]
    utilities: Any = sys.modules['launch.utilities']
    utilities.normalize_to_list_of_substitutions = lambda text: [text]
    utilities.perform_substitutions = lambda _, texts: ''.join(texts)
    monkeypatch.delitem(sys.modules, SHARED, raising=False)
    yield runpy.run_path(str(LAUNCH)) | {'logged': logged}
    sys.modules.pop(SHARED, None)  # it has the classes of this test


def declared(launch_file: dict[str, Any]) -> tuple[list[Any], Any]:
    """Return the declared arguments, and what starts the node; both are in a scope of their own."""
    (group,) = launch_file['generate_launch_description']().args[0]
    assert type(group).__name__ == 'GroupAction' and not group.kwargs  # whose default is a scope
    *arguments, function = group.args[0]
    return arguments, function.kwargs['function']


def started(launch_file: dict[str, Any], **given: str) -> list[Any]:
    """Return the actions."""
    arguments, start = declared(launch_file)
    values = {argument.args[0]: argument.kwargs['default_value'] for argument in arguments} | given
    assert len(values) == len(arguments), 'an argument that the launch file does not know'
    return start(Context(values))


def given_to(node: Any) -> dict[str, Any]:
    """Return the parameters that come behind the file."""
    return {name: value.value for name, value in node.kwargs['parameters'][1].items()}


def test_every_argument_is_described(launch_file: dict[str, Any]) -> None:
    arguments, _ = declared(launch_file)
    assert {argument.args[0] for argument in arguments} == {*launch_file['PARAMETERS'], *launch_file['OTHERS']}
    assert all(argument.kwargs['description'] for argument in arguments)


def test_every_parameter_is_one_of_the_node_with_its_type(launch_file: dict[str, Any]) -> None:
    types = {declared.name: type(declared.default) for declared in PARAMETERS} | {'use_sim_time': bool}
    assert {name: kind for name, (kind, _) in launch_file['PARAMETERS'].items()}.items() <= types.items()


def test_what_is_not_given_is_left_to_the_parameter_file(launch_file: dict[str, Any]) -> None:
    (node,) = started(launch_file)
    file, overrides = node.kwargs['parameters']
    assert file.args == (str(LAUNCH.parents[1] / 'config' / 'chat.yaml'),)
    assert overrides == {}


def test_what_is_given_comes_behind_the_parameter_file(launch_file: dict[str, Any], tmp_path: Path) -> None:
    mine = tmp_path / 'mine.yaml'
    mine.touch()
    (node,) = started(launch_file, params_file=str(mine), model='1234', threads='2', autostart='false')
    assert node.kwargs['parameters'][0].args == (str(mine),)
    assert given_to(node) == {'model': '1234', 'threads': 2, 'autostart': False}


def test_the_parameter_file_may_have_substitutions(launch_file: dict[str, Any]) -> None:
    (node,) = started(launch_file)
    assert node.kwargs['parameters'][0].kwargs == {'allow_substs': True}


def test_the_parameter_files_of_the_package_have_no_substitution_by_accident() -> None:
    """Launch reads them in comments as well."""
    assert not [path.name for path in (LAUNCH.parents[1] / 'config').glob('*.yaml') if '$(' in path.read_text()]


def test_name_namespace_remaps_and_log_level(launch_file: dict[str, Any]) -> None:
    (node,) = started(launch_file, name='butler', namespace='kitchen', log_level='debug',
                      remaps='~/prompt:=/speech/heard  ~/tokens:=/tokens')
    assert (node.kwargs['name'], node.kwargs['namespace']) == ('butler', 'kitchen')
    assert node.kwargs['remappings'] == [('~/prompt', '/speech/heard'), ('~/tokens', '/tokens')]
    assert node.kwargs['arguments'] == ['--ros-args', '--log-level', 'debug']


def test_the_launch_ends_with_its_node_only_where_that_is_asked_for(launch_file: dict[str, Any]) -> None:
    assert len(started(launch_file)) == 1
    assert started(launch_file, use_respawn='true')[0].kwargs['respawn'] is True
    node, handler = started(launch_file, shutdown_on_exit='true')
    assert handler.args[0].kwargs['target_action'] is node
    assert node.kwargs['respawn'] is False


WRONG = [
    ({'params_file': 'missing.yaml'}, r'params_file: .*missing\.yaml is not a file'),
    ({'threads': 'two'}, 'threads: invalid literal'),
    ({'use_respawn': 'flase'}, 'use_respawn: '),
    ({'remaps': '/speech/heard'}, "remaps: '/speech/heard' is not FROM:=TO"),
    ({'name': 'my-robot'}, 'Invalid node name'),
    ({'namespace': 'my robot'}, 'Invalid namespace'),
]


@pytest.mark.parametrize(('given', 'reason'), WRONG)
def test_a_wrong_argument_stops_nothing_but_the_node(launch_file: dict[str, Any], given: dict[str, str],
                                                     reason: str) -> None:
    assert started(launch_file, **given) == []
    (line,) = launch_file['logged']
    assert line.startswith('the chat node is not started: ')
    assert re.search(reason, line)


@pytest.mark.parametrize(('given', 'reason'), [*WRONG, ({'use_respawn': 'true'}, 'exclude each other')])
def test_a_wrong_argument_ends_the_launch_where_the_end_of_the_node_would(
        launch_file: dict[str, Any], given: dict[str, str], reason: str) -> None:
    with pytest.raises(Exception, match=reason):
        started(launch_file, shutdown_on_exit='true', **given)


def test_only_what_is_passed_counts_where_another_launch_file_includes_this_one(launch_file: dict[str, Any]) -> None:
    """Its including action is visited as a variable of this name."""
    entity = sys.modules['launch.actions'].IncludeLaunchDescription()  # type: ignore[attr-defined]
    entity.launch_arguments = [('threads', '2')]
    (node,) = started(launch_file, model='/robot.urdf', name='turtlebot', threads='2')
    assert given_to(node) == {'threads': 2}
    assert node.kwargs['name'] == 'tinychat'
    (line,) = launch_file['logged']
    assert 'model:=/robot.urdf name:=turtlebot;' in line
