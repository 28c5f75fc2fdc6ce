# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Backends on other machines, configured by parameters: who answers, what state and diagnostics say, and bad input."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from action_msgs.msg import GoalStatus
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
import pytest
from rclpy.parameter import Parameter
from robot import Robot
from scripted_server import cuts, refuses, ScriptedServer
from waiting import wait_for
import yaml

from tinychat_core.serving.results import ErrorCode
from tinychat_ros.backend_parameters import REMOTE_PARAMETERS
from tinychat_ros.interfaces import State
from tinychat_ros.parameters import TABLE

Start = Callable[..., Robot]


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """Return a server that answers."""
    server = ScriptedServer()
    yield server
    server.close()


def edge(server: ScriptedServer, **more: Any) -> dict[str, Any]:
    """Return the parameters of a robot that asks this server first."""
    return {'backends': ['edge', 'local'], 'remote__edge__url': server.url, 'remote__edge__model': 'small',
            'remote__edge__connect_timeout': 10.0, 'remote__edge__first_token_timeout': 20.0,
            'remote__edge__stall_timeout': 20.0, 'remote__edge__probe_period': 60.0, **more}


def test_a_goal_is_answered_elsewhere_unless_it_must_stay(start: Start, server: ScriptedServer) -> None:
    robot = start(**edge(server))
    assert list(robot.states[-1].backends) == ['edge', 'local']
    status, result = robot.send().result()
    assert (status, result.text, result.served_by) == (GoalStatus.STATUS_SUCCEEDED, 'Maps help robots.', 'edge')
    assert robot.send(local_only=True).result()[1].served_by == 'local'
    assert len(server.requests) == 1


def test_a_broken_stream_aborts_with_the_text(start: Start, server: ScriptedServer) -> None:
    server.behaviours = [cuts(['Maps '])]
    status, result = start(**edge(server)).send().result()
    assert (status, result.text) == (GoalStatus.STATUS_ABORTED, 'Maps ')
    assert result.error_code == ErrorCode.REMOTE_FAILED and result.served_by == 'edge'


def statuses_of_edge(arrays: list[DiagnosticArray]) -> list[DiagnosticStatus]:
    return [status for array in arrays for status in array.status if status.name.endswith('backend edge')]


def test_a_failing_backend_is_in_state_and_diagnostics(start: Start, server: ScriptedServer) -> None:
    server.on_get = refuses(500, 'no disk')
    robot = start(**edge(server))
    arrays: list[DiagnosticArray] = []
    robot.client_node.create_subscription(DiagnosticArray, '/diagnostics', arrays.append, 10)
    wait_for(lambda: list(robot.states[-1].backends) == ['local'])
    # The first ones may be of a node that has no backends yet.
    wait_for(lambda: statuses_of_edge(arrays))
    status = statuses_of_edge(arrays)[0]
    assert status.level == status.WARN and 'no disk' in status.message and status.hardware_id == server.url
    assert robot.send().result()[1].served_by == 'local'


@pytest.mark.parametrize(('values', 'reason'), [
    ({'remote__edge__url': 'host:8000'}, 'remote.edge.url'), ({'remote__edge__url': ''}, 'remote.edge.url'),
    ({'remote__edge__model': ''}, 'remote.edge.model'), ({'remote__edge__api_key_file': '/nowhere'}, 'api_key_file'),
    ({'remote__edge__api_key_env': 'NO_SUCH_VARIABLE'}, 'NO_SUCH_VARIABLE'),
    ({'backends': ['edge'], 'backend_policy': 'offload'}, 'backend_policy')], ids=str)
def test_what_cannot_be_used_is_said_before_the_model_is_loaded(start: Start, server: ScriptedServer,
                                                                values: dict[str, Any], reason: str) -> None:
    robot = start(**edge(server, **values))
    wait_for(lambda: robot.is_in(State.ERROR))
    assert reason in robot.states[-1].error and '\n' not in robot.states[-1].error


def test_a_key_that_others_can_read_is_a_warning(start: Start, server: ScriptedServer, tmp_path: Path,
                                                 capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / 'key'
    file.write_text('secret\n')
    file.chmod(0o644)
    start(**edge(server, remote__edge__api_key_file=str(file))).send().result()
    assert server.headers[0]['authorization'] == 'Bearer secret'
    log = ''.join(capfd.readouterr())
    assert 'other users can read' in log and 'secret' not in log


def test_backends_change_while_no_model_is_loaded(start: Start, server: ScriptedServer) -> None:
    robot = start(autostart=False)
    node = robot.node
    for bad in ([], ['edge', 'edge'], ['a b'], ['']):
        assert not node.set_parameters([Parameter('backends', Parameter.Type.STRING_ARRAY, bad)])[0].successful
    assert not node.set_parameters([Parameter('backends', value=7)])[0].successful
    assert node.set_parameters([Parameter('backends', value=['edge', 'local'])])[0].successful
    for name, value in (('url', server.url), ('model', 'small')):
        assert node.set_parameters([Parameter(f'remote.edge.{name}', value=value)])[0].successful
    node.trigger_configure()
    node.trigger_activate()
    wait_for(lambda: robot.is_in(State.IDLE))
    assert robot.send().result()[1].served_by == 'edge'
    assert not node.set_parameters([Parameter('remote.edge.model', value='large')])[0].successful


def test_the_example_file_has_values_that_the_node_takes() -> None:
    content = yaml.safe_load((Path(__file__).parents[2] / 'config' / 'fleet.yaml').read_text())['/**']
    values = content['ros__parameters']
    remotes = values.pop('remote')
    assert set(values['backends']) == {*remotes, 'local'} and set(values) <= set(TABLE)
    fields = {declared.name: type(declared.default) for declared in REMOTE_PARAMETERS}
    assert all(type(value) is fields[name] for remote in remotes.values() for name, value in remote.items())
