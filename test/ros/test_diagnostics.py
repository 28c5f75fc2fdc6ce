# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""/diagnostics, once a second, with figures and without words of a prompt."""

from __future__ import annotations

from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
import pytest
from rclpy.qos import QoSProfile
from robot import Robot, wait_for

from tinychat_core.errors import CheckpointError
from tinychat_ros import board


def reports(robot: Robot) -> list[DiagnosticStatus]:
    """Listen to a robot's diagnostics."""
    heard: list[DiagnosticStatus] = []
    name = f'{robot.node.get_fully_qualified_name()}: language model'
    robot.client_node.create_subscription(
        DiagnosticArray, '/diagnostics',
        lambda array: heard.extend(status for status in array.status if status.name == name),
        QoSProfile(depth=10))
    return heard


def test_they_tell_state_model_and_figures(robot: Robot) -> None:
    robot.send('secret words').result()
    heard = reports(robot)
    wait_for(lambda: heard)
    values = {pair.key: pair.value for pair in heard[-1].values}
    assert (heard[-1].level, heard[-1].message) == (DiagnosticStatus.OK, 'idle')
    assert (values['model'], values['precision'], values['backend']) == ('scripted', 'W4A8', 'cpu')
    assert (values['answers'], values['waiting goals']) == ('1', '0')
    assert float(values['tokens/s']) > 0
    assert 'secret' not in str(heard[-1])


def test_an_error_is_one(start: Any) -> None:
    def open_engine(*_: Any, **__: Any) -> Any:
        raise CheckpointError('there is no such model')

    heard = reports(start(open_engine))
    wait_for(lambda: heard)
    assert (heard[-1].level, heard[-1].message) == (DiagnosticStatus.ERROR, 'there is no such model')


def test_a_hot_board_is_a_warning(robot: Robot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board, 'hottest', lambda: board.Zone('tj-thermal', 99.0, 99.0))
    heard = reports(robot)
    wait_for(lambda: heard)
    assert heard[-1].level == DiagnosticStatus.WARN
    assert 'tj-thermal' in heard[-1].message
