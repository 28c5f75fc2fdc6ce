# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Between a robot's launch file and the one that it includes, nothing goes over but what is passed."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from launch import LaunchContext, LaunchDescription, LaunchService
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction, TimerAction
from launch.launch_description_sources import AnyLaunchDescriptionSource, PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launched import LAUNCH
import pytest

ROBOT = {'model': '/robot.urdf', 'name': 'turtlebot', 'threads': '7', 'remaps': 'a:=b', 'shutdown_on_exit': 'true',
         'use_sim_time': 'true', 'namespace': 'turtle', 'log_level': 'debug'}


def included(**arguments: Any) -> IncludeLaunchDescription:
    """Include the launch file with these arguments."""
    return IncludeLaunchDescription(PythonLaunchDescriptionSource(str(LAUNCH / 'chat.launch.py')),
                                    launch_arguments=arguments.items())


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Return what the nodes are made of that are started; there is no process."""
    nodes: list[dict[str, Any]] = []

    def note(**made_of: Any) -> OpaqueFunction:
        nodes.append(made_of)
        return OpaqueFunction(function=lambda _: None)

    monkeypatch.setattr('launch_ros.actions.Node', note)
    return nodes


def run(*entities: Any, **declared: str) -> dict[str, str]:
    """Launch, and return the launch's arguments at the end."""
    ended: dict[str, str] = {}

    def look(context: LaunchContext) -> None:
        ended.update(context.launch_configurations)

    arguments = [DeclareLaunchArgument(name, default_value=value) for name, value in declared.items()]
    service = LaunchService(noninteractive=True)
    service.include_launch_description(LaunchDescription([*arguments, *entities, OpaqueFunction(function=look)]))
    assert service.run() == 0
    return ended


def passed(node: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters behind the file."""
    return {name: value.value for name, value in node['parameters'][1].items()}


def test_a_robot_s_arguments_do_not_come_in(started: list[dict[str, Any]],
                                            caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger('chat.launch.py')
    logger.addHandler(caplog.handler)
    run(included(), **ROBOT)
    (node,) = started
    assert passed(node) == {}
    assert (node['name'], node['namespace'], node['remappings']) == ('tinychat', '', [])
    assert node['arguments'][-1] == 'info'
    logger.removeHandler(caplog.handler)
    assert caplog.messages[0].startswith('ignored arguments of the including launch file: model:=/robot.urdf ')


def test_what_is_passed_counts_be_it_the_same(started: list[dict[str, Any]]) -> None:
    run(included(model=LaunchConfiguration('model'), name='butler', use_sim_time='true'), **ROBOT)
    (node,) = started
    assert passed(node) == {'model': '/robot.urdf', 'use_sim_time': True}
    assert node['name'] == 'butler'


def test_it_is_so_from_xml_and_later_on(started: list[dict[str, Any]], tmp_path: Path) -> None:
    bringup = tmp_path / 'bringup.launch.xml'
    bringup.write_text(f'<launch><include file="{LAUNCH}/chat.launch.py"><arg name="threads" value="3"/></include>'
                       '</launch>')
    run(TimerAction(period=0.1, actions=[IncludeLaunchDescription(AnyLaunchDescriptionSource(str(bringup)))]), **ROBOT)
    (node,) = started
    assert passed(node) == {'threads': 3}


def test_its_defaults_do_not_come_out(started: list[dict[str, Any]]) -> None:
    """Or the next launch file would take config/chat.yaml for its own params_file."""
    ended = run(included(name='butler'), model='/robot.urdf')
    assert ended == {'model': '/robot.urdf', 'name': 'butler'}


def test_a_substitution_in_the_parameter_file(started: list[dict[str, Any]], tmp_path: Path,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('MODELS', '/models')
    mine = tmp_path / 'mine.yaml'
    mine.write_text('/**: {ros__parameters: {model: $(env MODELS)/small}}')
    run(included(params_file=str(mine)))
    (node,) = started
    assert 'model: /models/small' in Path(node['parameters'][0].param_file).read_text()
    mine.write_text('/**: {ros__parameters: {model: $(env NOWHERE)/small}}')
    run(included(params_file=str(mine)))
    assert len(started) == 1
