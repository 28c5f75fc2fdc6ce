# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The parameter http_port: the model of the action over HTTP, while the node is active."""

from __future__ import annotations

from collections.abc import Callable
import socket
from typing import Any

from action_msgs.msg import GoalStatus
import httpx
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
import pytest
from robot import Robot
from scripted_engine import ScriptedEngine
from waiting import wait_for

from tinychat_core.server.opening import KEY_VARIABLE
from tinychat_ros.interfaces import State

BODY = {'messages': [{'role': 'user', 'content': 'Hello'}]}


@pytest.fixture
def port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        return int(free.getsockname()[1])


def ask(port: int, **fields: Any) -> httpx.Response:
    return httpx.post(f'http://127.0.0.1:{port}/v1/chat/completions', json={**BODY, **fields}, timeout=30.0)


def change(robot: Robot, transition: int) -> bool:
    return bool(robot.call(ChangeState, 'change_state',
                           ChangeState.Request(transition=Transition(id=transition))).success)


def test_the_model_answers_over_http_with_the_parameters_of_the_node(start: Callable[..., Robot], port: int,
                                                                     engine: ScriptedEngine) -> None:
    start(http_port=port, system_prompt='Be brief.', max_new_tokens=2)
    (choice,) = ask(port).json()['choices']
    assert (choice['message']['content'], choice['finish_reason']) == ('Robots need ', 'length')
    assert engine.dialogues == [[{'role': 'system', 'content': 'Be brief.'}, *BODY['messages']]]


def test_goals_and_http_share_one_queue(start: Callable[..., Robot], port: int, engine: ScriptedEngine) -> None:
    robot = start(http_port=port, busy_policy='reject')
    engine.stands_at = 0
    goal = robot.send()
    wait_for(lambda: robot.is_in(State.BUSY))
    assert ask(port).status_code == 429
    engine.stands_at = None
    assert goal.result()[0] == GoalStatus.STATUS_SUCCEEDED
    assert ask(port).status_code == 200


def test_the_port_is_open_while_the_node_is_active(start: Callable[..., Robot], port: int) -> None:
    robot = start(http_port=port)
    for _ in range(2):
        assert ask(port).status_code == 200
        assert change(robot, Transition.TRANSITION_DEACTIVATE)
        with pytest.raises(httpx.ConnectError):
            ask(port)
        assert change(robot, Transition.TRANSITION_ACTIVATE)


def test_without_a_port_nothing_listens(start: Callable[..., Robot]) -> None:
    assert start().node._http._server is None


def test_a_port_that_is_taken_is_one_line_and_no_activation(start: Callable[..., Robot], port: int) -> None:
    with socket.socket() as other:
        other.bind(('127.0.0.1', port))
        other.listen()
        robot = start(http_port=port, autostart=False)
        assert change(robot, Transition.TRANSITION_CONFIGURE)
        assert not change(robot, Transition.TRANSITION_ACTIVATE)
        wait_for(lambda: robot.states[-1].error)
        assert robot.states[-1].error == (f'cannot listen on 127.0.0.1, port {port}: Address already in use; choose '
                                          'another port or address')
    assert change(robot, Transition.TRANSITION_ACTIVATE)
    wait_for(lambda: robot.is_in(State.IDLE) and not robot.states[-1].error)
    assert ask(port).status_code == 200


def test_another_address_needs_a_key(start: Callable[..., Robot], port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    robot = start(http_port=port, http_host='0.0.0.0', autostart=False)
    assert change(robot, Transition.TRANSITION_CONFIGURE)
    assert not change(robot, Transition.TRANSITION_ACTIVATE)
    wait_for(lambda: 'needs an API key' in robot.states[-1].error)
    monkeypatch.setenv(KEY_VARIABLE, 'secret')
    assert change(robot, Transition.TRANSITION_ACTIVATE)
    assert ask(port).status_code == 401
