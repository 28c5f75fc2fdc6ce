# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A real node with a scripted engine, and a real client, in one process over Fast DDS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
import itertools
import os
from threading import Thread
from types import MappingProxyType
from typing import Any

import rclpy
from rclpy.executors import MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from waiting import wait_for

from tinychat_ros.chat_node import ChatNode
from tinychat_ros.distribution import ActionClient, end_spinning, lifecycle_state
from tinychat_ros.interfaces import Chat, State, Token

NAMES = itertools.count()


class Goal:
    """A goal that has been sent, and what came back."""

    def __init__(self, client: ActionClient, goal: Chat.Goal) -> None:
        """Send it."""
        self.feedback: list[Chat.Feedback] = []
        self._sent = client.send_goal_async(goal, lambda message: self.feedback.append(message.feedback))

    @property
    def handle(self) -> Any:
        """The client's handle, once the node has answered."""
        wait_for(self._sent.done)
        return self._sent.result()

    def result(self, seconds: float = 10.0) -> tuple[int, Chat.Result]:
        """Return the terminal state and the result; `seconds` as in wait_for."""
        assert self.handle.accepted
        future = self.handle.get_result_async()
        wait_for(future.done, seconds)
        return future.result().status, future.result().result

    def told(self, count: int) -> list[Chat.Feedback]:
        """Wait for `count` pieces of feedback, which the result may overtake, and return what there is."""
        wait_for(lambda: len(self.feedback) >= count)
        return self.feedback

    def await_text(self) -> None:
        """Wait for the first piece of the answer."""
        wait_for(lambda: any(feedback.delta for feedback in self.feedback))

    def cancel(self) -> None:
        """Ask for its end."""
        wait_for(self.handle.cancel_goal_async().done)


class Robot:
    """A node under test and a client that listens to all it says."""

    def __init__(self, open_engine: Callable[..., Any], awaits_idle: bool = True,
                 options: Mapping[str, Any] = MappingProxyType({}), **parameters: Any) -> None:
        """
        Start both; wait until they have found each other and, unless told otherwise, the node serves.

        `options` are ChatNode's, `parameters` the node's.
        """
        namespace = f'robot_{os.getpid()}_{next(NAMES)}'
        overrides = [Parameter(name.replace('__', '.'), value=value)
                     for name, value in {'model': 'scripted', **parameters}.items()]
        self.gave_up = False
        self.node = ChatNode(open_engine, self._on_give_up, namespace=namespace,
                             parameter_overrides=overrides, **options)
        self.client_node = rclpy.create_node('client', namespace=namespace)
        self._nodes = [self.node]
        self.tokens: list[Token] = []
        self.states: list[State] = []
        self.client_node.create_subscription(Token, 'tinychat/tokens', self.tokens.append,
                                             QoSProfile(depth=1000))
        self.client_node.create_subscription(
            State, 'tinychat/state', self.states.append,
            QoSProfile(depth=1000, durability=DurabilityPolicy.TRANSIENT_LOCAL))
        depth = QoSProfile(depth=2000)
        self.client = ActionClient(self.client_node, Chat, 'tinychat/chat', feedback_sub_qos_profile=depth,
                                   goal_service_qos_profile=depth, result_service_qos_profile=depth,
                                   cancel_service_qos_profile=depth)
        self.executor = MultiThreadedExecutor(num_threads=8)
        self.executor.add_node(self.node)
        self.client_executor = SingleThreadedExecutor()
        self.client_executor.add_node(self.client_node)
        self._threads = [Thread(target=executor.spin, daemon=True)
                         for executor in (self.executor, self.client_executor)]
        for thread in self._threads:
            thread.start()
        wait_for(self.client.server_is_ready)
        wait_for(lambda: self.client_node.count_publishers('tinychat/tokens'))
        # And the node its client: what it publishes before is lost.
        wait_for(lambda: all(self.node.count_subscribers(f'tinychat/{name}')
                             for name in ('chat/_action/feedback', 'tokens', 'state')))
        if awaits_idle and parameters.get('autostart', True):
            # The node serves a moment before the transition is over, and only its services wait for that.
            wait_for(lambda: self.gave_up or self.is_in(State.ERROR) or (
                self.is_in(State.IDLE) and lifecycle_state(self.node) == 'active'))

    def _on_give_up(self) -> None:
        self.gave_up = True

    def is_in(self, state: int) -> bool:
        """Tell whether the last state heard is this one."""
        return bool(self.states) and self.states[-1].state == state

    def new_client(self, action: str = 'tinychat/chat') -> ActionClient:
        """Return another client of an action."""
        return self._between_waits(lambda: ActionClient(self.client_node, Chat, action))

    def destroy_client(self, client: ActionClient | None = None) -> None:
        """Destroy a client; None: the first one."""
        self._between_waits((client or self.client).destroy)

    def _between_waits(self, change: Callable[[], Any]) -> Any:
        """
        Let the thread that spins the client do this, and return what it returns.

        For what makes or destroys an action client. It is among its node's waitables before rclpy has made it whole,
        and still after its handle is gone: a thread that gathers what to wait for in that moment ends with an error.
        """
        task = self.client_executor.create_task(change)
        wait_for(task.done)
        return task.result()

    def serve(self, node: ChatNode) -> None:
        """Spin another node, too, until the end."""
        self._nodes.append(node)
        self.executor.add_node(node)

    def send(self, prompt: str = 'Hello', **fields: Any) -> Goal:
        """Send a goal."""
        return Goal(self.client, Chat.Goal(prompt=prompt, **fields))

    def call(self, kind: Any, name: str, request: Any) -> Any:
        """Call a service of the node."""
        client = self.client_node.create_client(kind, f'tinychat/{name}')
        wait_for(client.service_is_ready)
        future = client.call_async(request)
        wait_for(future.done)
        return future.result()

    def set_parameter(self, name: str, value: Any) -> str:
        """Set a parameter; return why not, or ''."""
        (result,) = self.node.set_parameters([Parameter(name, value=value)])
        return str(result.reason)

    def pieces(self, goal_id: Any) -> list[Token]:
        """Return all token messages of a goal, once the last one is there."""
        def mine() -> list[Token]:
            return [token for token in self.tokens if list(token.goal_id.uuid) == list(goal_id.uuid)]

        wait_for(lambda: any(token.last for token in mine()))
        return mine()

    def close(self) -> None:
        """End both."""
        for node in self._nodes:
            node.end()
        for executor, thread in zip((self.executor, self.client_executor), self._threads, strict=True):
            end_spinning(executor, thread)
        for node in (*self._nodes, self.client_node):
            node.destroy_node()
