# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The table of parameters, its file, and what may be changed at run time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rclpy.parameter import Parameter
from robot import Robot
import yaml

from tinychat_ros.parameters import PARAMETERS

CONFIG = Path(__file__).parents[2] / 'config' / 'chat.yaml'


def flat(tree: dict, prefix: str = '') -> dict:
    """Return nested parameters by their dotted names."""
    values = {}
    for key, value in tree.items():
        values.update(flat(value, f'{prefix}{key}.') if isinstance(value, dict) else {prefix + key: value})
    return values


def test_the_file_holds_the_defaults_of_the_table() -> None:
    content = yaml.safe_load(CONFIG.read_text())['/**']['ros__parameters']
    assert flat(content) == {declared.name: declared.default for declared in PARAMETERS}


def test_every_parameter_has_a_description_and_numbers_a_range(robot: Robot) -> None:
    for declared in PARAMETERS:
        descriptor = robot.node.describe_parameter(declared.name)
        assert descriptor.description
        is_number = type(declared.default) in (int, float)
        assert bool(descriptor.integer_range or descriptor.floating_point_range) == is_number, declared.name


@pytest.mark.parametrize(('name', 'value'), [('model', 'other'), ('threads', 1), ('busy_policy', 'shout'),
                                             ('sampling.top_p', 1.5), ('queue_depth', 0)])
def test_what_cannot_change_is_refused(robot: Robot, name: str, value: Any) -> None:
    before = robot.node.get_parameter(name).value
    (result,) = robot.node.set_parameters([Parameter(name, value=value)])
    assert not result.successful
    assert robot.node.get_parameter(name).value == before


def test_sampling_defaults_change_at_run_time(robot: Robot) -> None:
    (result,) = robot.node.set_parameters([Parameter('sampling.temperature', value=0.0)])
    assert result.successful
    assert robot.node.get_parameter('sampling.temperature').value == 0.0
