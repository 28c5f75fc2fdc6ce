# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A client goes away and leaves its goal: on_client_lost."""

from __future__ import annotations

import os
from threading import Event
from typing import Any

from processes import client_process, IMPATIENT, STORY
import pytest
from robot import Goal, Robot
from scripted_engine import ScriptedEngine
from waiting import wait_for

from tinychat_core.serving.chat_service import ChatService
from tinychat_ros.distribution import ActionClient
from tinychat_ros.interfaces import Chat

FEEDBACK = 'tinychat/chat/_action/feedback'


def replace_client(robot: Robot) -> ActionClient:
    """Return a client that is the only one, and that the node has found."""
    robot.destroy_client()
    client = robot.new_client()
    wait_for(client.server_is_ready)
    wait_for(lambda: robot.node.count_subscribers(FEEDBACK) == 1)
    return client


def leave(robot: Robot, engine: ScriptedEngine) -> None:
    """Send a goal and destroy its client in the middle of the prefill, all others before."""
    client = replace_client(robot)
    assert Goal(client, Chat.Goal(prompt='Hello')).handle.accepted
    wait_for(lambda: engine.prefilled)
    robot.destroy_client(client)


def end(robot: Robot) -> tuple[str, int]:
    """Return how the goal ended, as all hear of it."""
    wait_for(lambda: any(token.last for token in robot.tokens))
    return robot.tokens[-1].finish_reason, robot.tokens[-1].error_code


def test_cancel_ends_the_goal(start: Any, engine: ScriptedEngine) -> None:
    robot = start(on_client_lost='cancel')
    engine.prefill_delay = 60.0
    leave(robot, engine)
    assert end(robot) == ('aborted', Chat.Result.CLIENT_LOST)


def test_a_client_that_goes_with_the_answer_to_its_goal(start: Any, engine: ScriptedEngine,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    robot = start(on_client_lost='cancel')
    engine.prefill_delay = 60.0
    client, has_gone, submit = replace_client(robot), Event(), ChatService.submit

    def submit_late(*arguments: Any, **options: Any) -> Any:
        assert has_gone.wait(30.0)
        return submit(*arguments, **options)

    monkeypatch.setattr(ChatService, 'submit', submit_late)
    assert Goal(client, Chat.Goal(prompt='Hello')).handle.accepted
    robot.destroy_client(client)
    wait_for(lambda: not robot.node.count_subscribers(FEEDBACK))
    has_gone.set()
    assert end(robot) == ('aborted', Chat.Result.CLIENT_LOST)


def test_finish_answers_to_the_end(start: Any, engine: ScriptedEngine) -> None:
    robot = start(on_client_lost='finish')
    engine.prefill_delay = 1.0  # the node looks for its clients twice meanwhile
    leave(robot, engine)
    assert end(robot) == ('stop', 0)


def test_a_waiting_goal_ends_too(start: Any, engine: ScriptedEngine) -> None:
    robot = start(on_client_lost='cancel')
    engine.prefill_delay = 60.0
    goals = [robot.send(), robot.send()]
    assert all(goal.handle.accepted for goal in goals)
    robot.destroy_client()
    wait_for(lambda: sum(token.last for token in robot.tokens) == 2)
    assert {token.error_code for token in robot.tokens} == {Chat.Result.CLIENT_LOST}


@pytest.mark.slow
def test_a_client_that_is_killed_is_missed(start_node: Any) -> None:
    environment = os.environ | IMPATIENT
    node, namespace = start_node('-p', 'on_client_lost:=cancel', '--log-level', 'info', env=environment)
    asking = client_process(namespace, STORY, '--max-new-tokens', '8000', env=environment)
    asking.says(' the ')
    asking.process.kill()
    asking.ends()
    node.says('its client has gone')
