# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A client goes away and leaves its task: on_client_lost."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import Any

from agent_world import Agent, World
import pytest
import rclpy
from rclpy.action import ActionClient
from rclpy.executors import SingleThreadedExecutor
from waiting import wait_for

from tinychat_interfaces.msg import TaskRecord
from tinychat_ros.agent.wakeup import Wakeup
from tinychat_ros.interfaces import Task, TaskStep

DRIVE = '[{{"calls": [["drive", {{"linear": {{"x": 0.25}}, "duration": {seconds}}}]]}}]'


FEEDBACK = 'tinychat_agent/task/_action/feedback'


def leave(agent: Agent, world: World, seconds: float, is_enough: Callable[[], bool]) -> None:
    """Send a task, and destroy its client when that is enough; the agent has no other."""
    agent._client.destroy()
    node = rclpy.create_node('leaving', namespace=world.namespace)
    client: ActionClient[Task.Goal, Task.Result, Task.Feedback] = ActionClient(node, Task, 'tinychat_agent/task')
    executor = SingleThreadedExecutor()
    executor.add_node(node)

    def spin_until(is_done: Callable[[], bool]) -> None:
        wait_for(lambda: executor.spin_once(0.01) or is_done(), 30.0)

    spin_until(lambda: client.server_is_ready() and agent.agent.count_subscribers(FEEDBACK) == 1)
    sent = client.send_goal_async(Task.Goal(instruction=DRIVE.format(seconds=seconds)))
    spin_until(sent.done)
    assert sent.result().accepted
    spin_until(is_enough)
    executor.shutdown()
    client.destroy()
    node.destroy_node()


def end(agent: Agent, world: World) -> TaskRecord:
    """Return the record of the step's end, when the robot stands."""
    wait_for(lambda: len(agent.records) == 2, 30.0)
    wait_for(lambda: world.events()[-1] == ['cmd_vel', 0.0], 30.0)
    return agent.records[-1]


@pytest.mark.parametrize(('on_client_lost', 'seconds', 'status'), [
    ('cancel', 20.0, TaskStep.FAILED), ('finish', 2.0, TaskStep.SUCCEEDED)])
def test_a_task_without_its_client(start_agent: Callable[..., Agent], world: World, on_client_lost: str,
                                   seconds: float, status: int) -> None:
    agent, seen = start_agent(on_client_lost=on_client_lost), len(world.robot.output)
    leave(agent, world, seconds, lambda: bool(world.events(seen)))
    step = end(agent, world).step
    assert step.status == status
    assert ('its client has gone' in step.result) == (on_client_lost == 'cancel')


def test_a_client_that_goes_with_the_answer_to_its_task(start_agent: Callable[..., Agent], world: World,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    agent, has_gone = start_agent(on_client_lost='cancel'), Event()

    def wakeup_late(*arguments: Any) -> Wakeup:
        assert has_gone.wait(30.0)
        return Wakeup(*arguments)

    monkeypatch.setattr('tinychat_ros.agent.agent_node.Wakeup', wakeup_late)
    leave(agent, world, 20.0, lambda: True)
    wait_for(lambda: not agent.agent.count_subscribers(FEEDBACK))
    has_gone.set()
    assert 'its client has gone' in end(agent, world).step.result
