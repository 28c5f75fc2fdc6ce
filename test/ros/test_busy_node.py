# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A node that generates, or that a thousand goals come upon at once, answers whoever asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from action_msgs.msg import GoalStatus
from lifecycle_msgs.srv import GetState
import pytest
from rcl_interfaces.srv import GetParameters
import rclpy
from rclpy.action import ActionClient
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile
from rclpy.time import Time
from robot import Robot
from scripted_engine import ScriptedEngine
from waiting import wait_for

from tinychat_ros.interfaces import Chat, GetModelInfo, ResetConversation, Tokenize

DEEP = QoSProfile(depth=2000)
KEPT = Duration(seconds=9)  # a result is kept for 10 s; on a busy machine a client may ask too late
QUESTIONS: dict[str, tuple[Any, Any]] = {
    'get_state': (GetState, GetState.Request()),
    'get_parameters': (GetParameters, GetParameters.Request(names=['model'])),
    'get_model_info': (GetModelInfo, GetModelInfo.Request()),
    'tokenize': (Tokenize, Tokenize.Request(text='a')),
    'reset_conversation': (ResetConversation, ResetConversation.Request()),
}


def test_every_service_answers_while_a_goal_runs(robot: Robot, engine: ScriptedEngine) -> None:
    engine.prefill_delay = 60.0
    goal = robot.send()
    wait_for(lambda: engine.prefilled)
    for name, (kind, request) in QUESTIONS.items():
        assert robot.call(kind, name, request) is not None
    assert robot.send('next').handle.accepted
    goal.cancel()
    assert goal.result()[0] == GoalStatus.STATUS_CANCELED


@pytest.mark.slow
def test_a_thousand_goals_at_once_are_all_answered(start_node: Any) -> None:
    """Of the node as a process: it shares no interpreter with a client that has so much to do."""
    _, namespace = start_node('-p', 'max_new_tokens:=1')
    node = rclpy.create_node('client', namespace=namespace)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    client = ActionClient(node, Chat, 'tinychat/chat', feedback_sub_qos_profile=DEEP, goal_service_qos_profile=DEEP,
                          result_service_qos_profile=DEEP, cancel_service_qos_profile=DEEP)

    def spin_until(condition: Callable[[], bool]) -> None:
        wait_for(lambda: executor.spin_once(0.002) or condition(), 180)

    def is_answered() -> bool:
        first = client.send_goal_async(Chat.Goal(prompt='first'))
        for _ in range(1000):
            executor.spin_once(0.002)
            if first.done():
                return True
        return False

    spin_until(client.server_is_ready)
    # DDS may lose the answer to a client that has only just appeared: the flood begins once one has come.
    spin_until(is_answered)
    results: list[tuple[Any, bool]] = []

    def ask_for_result(answer: Any) -> None:
        goal = answer.result()
        if goal.accepted:
            age = node.get_clock().now() - Time.from_msg(goal.stamp, clock_type=node.get_clock().clock_type)
            results.append((goal.get_result_async(), age < KEPT))

    answers = [client.send_goal_async(Chat.Goal(prompt=str(i))) for i in range(1000)]
    for answer in answers:
        answer.add_done_callback(ask_for_result)
    spin_until(lambda: all(answer.done() for answer in answers))
    spin_until(lambda: all(result.done() for result, _ in results))
    statuses = [(result.result().status, in_time) for result, in_time in results]
    assert statuses and set(statuses) <= {(GoalStatus.STATUS_SUCCEEDED, True), (GoalStatus.STATUS_SUCCEEDED, False),
                                          (GoalStatus.STATUS_UNKNOWN, False)}
    executor.shutdown()
    node.destroy_node()
