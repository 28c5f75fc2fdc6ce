# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""~/prompt is heard from reliable and best-effort publishers, unless an override says otherwise."""

from __future__ import annotations

import os
from typing import Any

import pytest
from rclpy.qos import QoSProfile, ReliabilityPolicy
from robot import NAMES, Robot
from scripted_engine import ScriptedEngine
from std_msgs.msg import String
from waiting import wait_for

BEST_EFFORT, RELIABLE = ReliabilityPolicy.BEST_EFFORT, ReliabilityPolicy.RELIABLE


def publisher(robot: Robot, reliability: ReliabilityPolicy) -> Any:
    """Return a publisher of prompts."""
    return robot.client_node.create_publisher(String, 'tinychat/prompt', QoSProfile(depth=10, reliability=reliability))


def subscription(robot: Robot) -> QoSProfile:
    """Return what the node's one subscription asks for, once it is known."""
    def known() -> Any:
        infos = robot.client_node.get_subscriptions_info_by_topic('tinychat/prompt')
        return infos[0].qos_profile if len(infos) == 1 else None

    found: QoSProfile = wait_for(known)
    return found


def is_answered(robot: Robot, prompts: Any) -> bool:
    """Publish prompts until one is answered: a publisher that has just come may be missed."""
    before = len(robot.tokens)

    def answered() -> bool:
        prompts.publish(String(data='Hello'))
        return any(token.last for token in robot.tokens[before:])

    wait_for(lambda: prompts.get_subscription_count() == 1)
    return bool(wait_for(answered))


def test_a_reliable_publisher_is_heard_reliably(robot: Robot) -> None:
    assert is_answered(robot, publisher(robot, RELIABLE))
    assert subscription(robot).reliability == RELIABLE


def test_a_best_effort_publisher_is_heard(robot: Robot) -> None:
    assert is_answered(robot, publisher(robot, BEST_EFFORT))
    assert subscription(robot).reliability == BEST_EFFORT


def test_and_a_reliable_one_beside_it(robot: Robot) -> None:
    quiet, loud = publisher(robot, BEST_EFFORT), publisher(robot, RELIABLE)
    assert is_answered(robot, quiet) and is_answered(robot, loud)


def test_a_prompt_is_answered_once(robot: Robot, engine: ScriptedEngine) -> None:
    def asked() -> list[str]:
        return [dialogue[-1]['content'] for dialogue in engine.tokenizer.dialogues]

    assert is_answered(robot, publisher(robot, BEST_EFFORT))
    prompts = publisher(robot, RELIABLE)
    assert is_answered(robot, prompts)
    prompts.publish(String(data='Once'))
    wait_for(lambda: 'Once' in asked())
    prompts.publish(String(data='After'))
    wait_for(lambda: 'After' in asked())
    assert asked().count('Once') == 1


def override(policy: str, value: Any) -> dict[str, Any]:
    """Return a parameter, in Robot's spelling, for ~/prompt of the robot that is made next."""
    topic = f'/robot_{os.getpid()}_{next(NAMES) + 1}/tinychat/prompt'
    return {f'qos_overrides__{topic}__subscription__{policy}': value}


@pytest.mark.parametrize(('policy', 'value'), [('reliability', 'best_effort'), ('depth', 3)])
def test_an_override_holds(start: Any, policy: str, value: Any) -> None:
    robot = start(**override(policy, value))
    (own,) = [each for each in robot.node.subscriptions if each.topic_name.endswith('/tinychat/prompt')]
    expected = BEST_EFFORT if value == 'best_effort' else value
    assert getattr(own.qos_profile, policy) == expected


def test_what_an_override_makes_reliable_stays_so(start: Any) -> None:
    robot = start(**override('reliability', 'reliable'))
    deaf = publisher(robot, BEST_EFFORT)
    assert is_answered(robot, publisher(robot, RELIABLE))
    assert (deaf.get_subscription_count(), subscription(robot).reliability) == (0, RELIABLE)
