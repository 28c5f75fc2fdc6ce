# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A client goes away and leaves its task: on_client_lost."""

from __future__ import annotations

from collections.abc import Callable

from agent_world import Agent, World
import pytest
import rclpy
from rclpy.action import ActionClient
from rclpy.executors import SingleThreadedExecutor
from waiting import wait_for

from tinychat_interfaces.msg import TaskRecord
from tinychat_ros.interfaces import Task, TaskStep

DRIVE = '[{{"calls": [["drive", {{"linear": {{"x": 0.25}}, "duration": {seconds}}}]]}}]'


def leave(agent: Agent, world: World, seconds: float) -> TaskRecord:
    """Send a task, destroy its client while the robot drives, and return the record of the step's end."""
    agent._client.destroy()
    before, seen = len(agent.records), len(world.robot.output)
    node = rclpy.create_node('leaving', namespace=world.namespace)
    client: ActionClient[Task.Goal, Task.Result, Task.Feedback] = ActionClient(node, Task, 'tinychat_agent/task')
    executor = SingleThreadedExecutor()
    executor.add_node(node)

    def spin_until(is_done: Callable[[], bool]) -> None:
        wait_for(lambda: executor.spin_once(0.01) or is_done(), 30.0)

    spin_until(client.server_is_ready)
    sent = client.send_goal_async(Task.Goal(instruction=DRIVE.format(seconds=seconds)))
    spin_until(sent.done)
    assert sent.result().accepted
    spin_until(lambda: bool(world.events(seen)))
    executor.shutdown()
    client.destroy()
    node.destroy_node()
    wait_for(lambda: len(agent.records) == before + 2, 30.0)
    wait_for(lambda: world.events(seen)[-1] == ['cmd_vel', 0.0], 30.0)
    return agent.records[-1]


@pytest.mark.parametrize(('on_client_lost', 'seconds', 'status'), [
    ('cancel', 20.0, TaskStep.FAILED), ('finish', 2.0, TaskStep.SUCCEEDED)])
def test_a_task_without_its_client(start_agent: Callable[..., Agent], world: World, on_client_lost: str,
                                   seconds: float, status: int) -> None:
    record = leave(start_agent(on_client_lost=on_client_lost), world, seconds)
    assert record.step.status == status
    assert ('its client has gone' in record.step.result) == (on_client_lost == 'cancel')
