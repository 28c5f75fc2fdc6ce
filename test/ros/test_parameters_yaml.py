# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters as YAML has them: on the command line, in files, and through the parameter services."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rcl_interfaces.msg import Parameter as ParameterMessage, ParameterType
from rcl_interfaces.srv import ListParameters, SetParameters, SetParametersAtomically
from rclpy.exceptions import ParameterException
from rclpy.parameter import get_parameter_value, Parameter, parameter_dict_from_yaml_file
from robot import Robot
from scripted_engine import ScriptedEngine
import yaml

from tinychat_ros.chat_node import ChatNode


@pytest.fixture
def node() -> Iterator[Callable[..., ChatNode]]:
    """Return a function that makes a node with these arguments."""
    nodes: list[ChatNode] = []

    def make(*arguments: str) -> ChatNode:
        nodes.append(ChatNode(lambda *_, **__: ScriptedEngine(), cli_args=['--ros-args', *arguments]))
        return nodes[-1]

    yield make
    for each in nodes:
        each.end()
        each.destroy_node()


@pytest.mark.parametrize(('name', 'text', 'value'), [
    ('sampling.temperature', '0', 0.0), ('time_limit', '30', 30.0), ('sampling.top_p', '1', 1.0),
    ('publish_period', '"1e-3"', 0.001), ('threads', '2.0', 2), ('autostart', '0', False), ('autostart', '"no"', False),
    ('model', '7', '7'), ('system_prompt', 'null', ''), ('system_prompt', '"yes"', 'yes'), ('system_prompt', '""', ''),
])
def test_the_command_line(node: Callable[..., ChatNode], name: str, text: str, value: Any) -> None:
    taken = node('-p', f'{name}:={text}').get_parameter(name).value
    assert (taken, type(taken)) == (value, type(value))


def test_whole_numbers_in_a_file(node: Callable[..., ChatNode], tmp_path: Path) -> None:
    file = tmp_path / 'mine.yaml'
    file.write_text('/**:\n  ros__parameters:\n    time_limit: 30\n'
                    '    sampling: {temperature: 0, top_p: 1, min_p: 0}\n')
    parameters = node('--params-file', str(file))
    assert [parameters.get_parameter(name).value for name in
            ('time_limit', 'sampling.temperature', 'sampling.top_p', 'sampling.min_p')] == [30.0, 0.0, 1.0, 0.0]


@pytest.mark.parametrize(('override', 'reason'), [
    ('sampling.temperature:=200', 'out of range'), ('sampling.temperature:=.nan', 'must be a number'),
    ('threads:=1.5', 'a whole number'), ('model:=yes', "'yes'"), ('autostart:=2', 'true or false'),
    ('busy_policy:=1', 'queue or reject or preempt'), ('threads:=[1, 2]', 'not a list'),
])
def test_a_start_value_that_cannot_be_meant_is_one_line(node: Callable[..., ChatNode], override: str,
                                                        reason: str) -> None:
    with pytest.raises(ParameterException, match=reason) as caught:
        node('-p', override)
    assert override.split(':=')[0] in str(caught.value)


def set_as_ros2_param_does(robot: Robot, name: str, text: str) -> Any:
    """Set a parameter to what `ros2 param set` makes of a text; return the result."""
    message = ParameterMessage(name=name, value=get_parameter_value(text))
    return robot.call(SetParameters, 'set_parameters', SetParameters.Request(parameters=[message])).results[0]


@pytest.mark.parametrize(('name', 'text', 'value'), [
    ('sampling.temperature', '0', 0.0), ('time_limit', '30', 30.0), ('publish_period', '1e-3', 0.001),
    ('queue_depth', '1e2', 100), ('use_sim_time', '0', False), ('use_sim_time', "'off'", False),
    ('system_prompt', '7', '7'), ('system_prompt', "'off'", 'off'),
    ('system_prompt', '', '')])
def test_ros2_param_set(robot: Robot, name: str, text: str, value: Any) -> None:
    assert set_as_ros2_param_does(robot, name, text).successful
    taken = robot.node.get_parameter(name).value
    assert (taken, type(taken)) == (value, type(value))


@pytest.mark.parametrize(('name', 'text', 'reason'), [
    ('sampling.temperature', 'yes', 'must be a number'), ('sampling.temperature', '101', 'out of range'),
    ('system_prompt', 'off', 'must be a string, not the boolean false'), ('nobody', '1', 'undeclared parameter')])
def test_ros2_param_set_says_why_not(robot: Robot, name: str, text: str, reason: str) -> None:
    result = set_as_ros2_param_does(robot, name, text)
    assert not result.successful and reason in result.reason


def test_several_at_once_are_all_or_none(robot: Robot) -> None:
    def at_once(*pairs: tuple[str, str]) -> Any:
        messages = [ParameterMessage(name=name, value=get_parameter_value(text)) for name, text in pairs]
        return robot.call(SetParametersAtomically, 'set_parameters_atomically',
                          SetParametersAtomically.Request(parameters=messages)).result

    assert at_once(('time_limit', '7'), ('autostart', 'true'), ('sampling.top_p', '1')).successful
    assert robot.node.get_parameter('time_limit').value == 7.0
    assert not at_once(('time_limit', '8'), ('sampling.top_p', '2')).successful
    assert robot.node.get_parameter('time_limit').value == 7.0


@pytest.mark.parametrize('text', ['You are a robot.', 'yes', '1.10', '007', '', '~', '[a, b', "it's"])
def test_an_active_node_takes_its_own_dump(start: Any, tmp_path: Path, text: str) -> None:
    robot = start(system_prompt=text)
    names = robot.call(ListParameters, 'list_parameters', ListParameters.Request()).result.names
    assert {'autostart', 'model', 'use_sim_time', 'qos_overrides./diagnostics.publisher.depth'} <= set(names)
    dump = tmp_path / 'dump.yaml'
    dump.write_text(yaml.safe_dump({'/tinychat': {'ros__parameters': {
        name: robot.node.get_parameter(name).value for name in names}}}))
    messages = [*parameter_dict_from_yaml_file(str(dump), True, ['/tinychat']).values()]
    results = robot.call(SetParameters, 'set_parameters', SetParameters.Request(parameters=messages)).results
    assert [(result.successful, result.reason) for result in results] == [(True, '')] * len(names)
    assert robot.node.get_parameter('system_prompt').value == ('' if text == '~' else text)


def test_what_is_fixed_changes_no_more_than_before(robot: Robot) -> None:
    for name, value in (('autostart', False), ('nice', 5), ('model', 'other')):
        assert robot.set_parameter(name, value)
    assert robot.set_parameter('nice', '0') == ''  # the same in another spelling


@pytest.mark.parametrize(('name', 'told'), [('temperature', 'did you mean sampling.temperature?'),
                                            ('max_token', 'did you mean max_new_tokens?'),
                                            ('sampling', 'there is no parameter'),
                                            ('qos_overrides./tokens.publisher.depth', 'there is no parameter')])
def test_a_name_that_no_parameter_has_is_told(node: Callable[..., ChatNode], capfd: pytest.CaptureFixture[str],
                                              name: str, told: str) -> None:
    node('-p', f'{name}:=1')
    lines = [line for line in capfd.readouterr().err.splitlines() if 'there is no parameter' in line]
    assert len(lines) == 1 and told in lines[0] and name in lines[0]


def test_of_what_the_node_has_nothing_is_told(node: Callable[..., ChatNode], capfd: pytest.CaptureFixture[str]) -> None:
    config = Path(__file__).parents[2] / 'config'
    node('--params-file', str(config / 'chat.yaml'), '--params-file', str(config / 'qos_overrides.yaml'),
         '-p', 'use_sim_time:=false')
    assert 'there is no parameter' not in capfd.readouterr().err


def test_types_are_declared(robot: Robot) -> None:
    descriptor = robot.node.describe_parameter('time_limit')
    assert (descriptor.type, descriptor.dynamic_typing) == (ParameterType.PARAMETER_DOUBLE, False)
    assert robot.node.get_parameter('time_limit').type_ == Parameter.Type.DOUBLE
