# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A robot and a scripted chat node in processes of their own, and an agent for them with a client."""

from __future__ import annotations

import json
from pathlib import Path
import sys
from threading import Thread
from time import sleep
from typing import Any

from processes import new_namespace, Process
import rclpy
from rclpy.executors import MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from waiting import wait_for

from tinychat_interfaces.msg import TaskRecord
from tinychat_interfaces.srv import Confirm
from tinychat_ros.agent.agent_node import AgentNode
from tinychat_ros.distribution import ActionClient, end_spinning
from tinychat_ros.interfaces import Task

HERE = Path(__file__).parent
TOOLS = HERE / 'agent_tools.yaml'


class World:
    """The processes that an agent talks to."""

    def __init__(self) -> None:
        """Start them."""
        self.namespace = new_namespace()
        self.robot, self.chat = (
            Process(sys.executable, str(HERE / f'{name}.py'), '--ros-args', '-r', f'__ns:={self.namespace}')
            for name in ('robot_process', 'scripted_chat'))
        for process in (self.robot, self.chat):
            process.says('ready')

    def events(self, since: int = 0) -> list[list[Any]]:
        """Return what has reached the robot after a position of its output, without the times."""
        whole = self.robot.output[since:].rpartition('\n')[0]
        return [json.loads(line)[:-1] for line in whole.splitlines() if line.startswith('[')]

    def goals(self, since: int = 0) -> list[dict[str, Any]]:
        """Return what the agent has sent to the chat node after a position of its output."""
        whole = self.chat.output[since:].rpartition('\n')[0]
        return [json.loads(line) for line in whole.splitlines() if line.startswith('{')]

    def close(self) -> None:
        """End them."""
        for process in (self.robot, self.chat):
            process.process.kill()
            process.ends()


def agent_process(namespace: str, *arguments: str) -> Process:
    """Start an agent in a process of its own."""
    process = Process(sys.executable, '-m', 'tinychat_ros.agent.agent_node', '--ros-args', '-r', f'__ns:={namespace}',
                      '-p', f'tools_file:={TOOLS}', *arguments)
    process.says('ready')
    return process


class TaskGoal:
    """A task that has been sent, and what came back."""

    def __init__(self, client: ActionClient, goal: Task.Goal) -> None:
        """Send it."""
        self.feedback: list[Task.Feedback] = []
        self._sent = client.send_goal_async(goal, lambda message: self.feedback.append(message.feedback))

    @property
    def handle(self) -> Any:
        """The client's handle, once the agent has answered."""
        wait_for(self._sent.done)
        return self._sent.result()

    def result(self, seconds: float = 30.0) -> tuple[int, Task.Result]:
        """Return the terminal state and the result."""
        assert self.handle.accepted
        future = self.handle.get_result_async()
        wait_for(future.done, seconds)
        return future.result().status, future.result().result

    def cancel(self) -> None:
        """Ask for its end."""
        wait_for(self.handle.cancel_goal_async().done)


class TaskClient:
    """A client of an agent in a namespace."""

    def __init__(self, namespace: str) -> None:
        """Wait until the agent is there."""
        self.node = rclpy.create_node('client', namespace=namespace)
        self.records: list[TaskRecord] = []
        self.node.create_subscription(TaskRecord, 'tinychat_agent/audit', self.records.append, QoSProfile(
            depth=1000, durability=DurabilityPolicy.TRANSIENT_LOCAL))
        self._client = ActionClient(self.node, Task, 'tinychat_agent/task',
                                    feedback_sub_qos_profile=QoSProfile(depth=1000))
        self._confirm = self.node.create_client(Confirm, 'tinychat_agent/confirm')
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self._thread = Thread(target=self._executor.spin, daemon=True)
        self._thread.start()
        wait_for(lambda: self._client.server_is_ready() and self._confirm.service_is_ready(), 30.0)
        for _ in range(30):  # until the agent has found its client, its answers are lost
            answered = self._confirm.call_async(Confirm.Request(call_id='nobody'))
            for _ in range(500):
                if answered.done():
                    return
                sleep(0.002)
        raise AssertionError('the agent does not answer')

    def send(self, script: list[Any] | str, **fields: Any) -> TaskGoal:
        """Send a task: what the scripted model answers, or an instruction."""
        text = script if isinstance(script, str) else json.dumps(script)
        return TaskGoal(self._client, Task.Goal(instruction=text, **fields))

    def confirm(self, call_id: str, agree: bool) -> Confirm.Response:
        """Agree to a call, or not."""
        future = self._confirm.call_async(Confirm.Request(call_id=call_id, agree=agree))
        wait_for(future.done)
        return future.result()

    def close(self) -> None:
        """End it."""
        end_spinning(self._executor, self._thread)
        self.node.destroy_node()


class Agent(TaskClient):
    """An agent in this process, and its client."""

    def __init__(self, namespace: str, **parameters: Any) -> None:
        """Start both."""
        self.agent = AgentNode(namespace=namespace, parameter_overrides=[
            Parameter(name, value=value) for name, value in {'tools_file': str(TOOLS), **parameters}.items()])
        self.agent_executor = MultiThreadedExecutor(num_threads=4)
        self.agent_executor.add_node(self.agent)
        self._agent_thread = Thread(target=self.agent_executor.spin, daemon=True)
        self._agent_thread.start()
        super().__init__(namespace)

    def close(self) -> None:
        """End both."""
        self.agent.end()
        super().close()
        end_spinning(self.agent_executor, self._agent_thread)
        self.agent.destroy_node()
