# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A real node with a scripted engine, and a real client, in one process over Fast DDS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import os
from threading import Thread
from time import monotonic, sleep
from types import SimpleNamespace
from typing import Any

import pytest

# On this machine alone, in a domain that no other test run has.
os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
os.environ['ROS_DOMAIN_ID'] = str(1 + os.getpid() % 100)

import rclpy
from rclpy.action import ActionClient
from rclpy.executors import MultiThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.signals import SignalHandlerOptions

from tinychat_core.engine import CancelFlag, Token
from tinychat_core.errors import PromptTooLongError
from tinychat_ros.chat_node import ChatNode
from tinychat_ros.interfaces import Chat, State, Token as TokenMessage


def wait_for(condition: Callable[[], Any], seconds: float = 10.0) -> Any:
    """Return the first true value of `condition`; fail after `seconds`."""
    deadline = monotonic() + seconds
    while monotonic() < deadline:
        value = condition()
        if value:
            return value
        sleep(0.002)
    pytest.fail(f'nothing happened within {seconds} s')


class ScriptedEngine:
    """Answers every prompt with `words`, `delay` seconds before each; the prompt 'long' is too long, 'fail' fails."""

    def __init__(self) -> None:
        """Begin with a short answer and no delay."""
        self.words = ['Robots ', 'need ', 'maps.']
        self.delay = 0.0
        self.asked: list[tuple[list[dict[str, str]], Any]] = []
        self.context_length, self.vocab_size, self.threads = 128, 1000, 2
        self.path, self.family, self.precision, self.backend = 'scripted', 'llama', 'W4A8', 'cpu'
        self.group_size, self.weights_bytes, self.kv_cache_bytes = 32, 1000, 2000
        self.tokenizer = SimpleNamespace(encode=lambda text: [ord(c) for c in text],
                                         encode_chat=lambda messages: [len(messages)])

    def new_cache(self) -> Any:
        """Return what the node truncates before each goal."""
        return SimpleNamespace(truncate=lambda length: None)

    def close(self) -> None:
        """Nothing to give back."""

    def generate(self, messages: list[dict[str, str]], params: Any, cache: Any, cancel: CancelFlag) -> Any:
        """Return an answer that looks at `cancel` before each word, as the decoder does."""
        self.asked.append((messages, params))
        if messages[-1]['content'] == 'long':
            raise PromptTooLongError('the prompt has 999 tokens')
        return ScriptedAnswer(self, params, cancel, fail=messages[-1]['content'] == 'fail')


class ScriptedAnswer:
    """An iterator of Token."""

    def __init__(self, engine: ScriptedEngine, params: Any, cancel: CancelFlag, fail: bool) -> None:
        """Hold what to say."""
        self.prompt_tokens, self.seed = 3, params.seed if params.seed is not None else 42
        self._engine, self._cancel, self._fail = engine, cancel, fail
        self._words = engine.words[:params.max_new_tokens]

    def __iter__(self) -> Iterator[Token]:
        """Say the words."""
        for index, word in enumerate(self._words):
            deadline = monotonic() + self._engine.delay
            while monotonic() < deadline and not self._cancel.is_set():
                sleep(0.0005)
            if self._cancel.is_set():
                yield Token('', -1, index, 'canceled')
                return
            if self._fail and index == 1:
                raise RuntimeError('the decoder broke')
            last = index == len(self._words) - 1
            cut = len(self._words) < len(self._engine.words)
            yield Token(word, index, index, ('length' if cut else 'stop') if last else None)


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

    def result(self) -> tuple[int, Chat.Result]:
        """Return the terminal state and the result."""
        assert self.handle.accepted
        future = self.handle.get_result_async()
        wait_for(future.done)
        return future.result().status, future.result().result


class Robot:
    """A node under test and a client that listens to all it says."""

    def __init__(self, engine: ScriptedEngine, namespace: str, **parameters: Any) -> None:
        """Start both; wait until they have found each other."""
        self.engine = engine
        overrides = [Parameter(name.replace('__', '.'), value=value) for name, value in parameters.items()]
        self.node = ChatNode(engine, namespace=namespace, parameter_overrides=overrides)
        self.client_node = rclpy.create_node('client', namespace=namespace)
        self.tokens: list[TokenMessage] = []
        self.states: list[State] = []
        self.client_node.create_subscription(TokenMessage, 'tinychat/tokens', self.tokens.append,
                                             QoSProfile(depth=1000))
        self.client_node.create_subscription(
            State, 'tinychat/state', self.states.append,
            QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL))
        depth = QoSProfile(depth=1000)
        self.client = ActionClient(self.client_node, Chat, 'tinychat/chat', feedback_sub_qos_profile=depth,
                                   goal_service_qos_profile=depth, result_service_qos_profile=depth)
        self.executor = MultiThreadedExecutor(num_threads=4)
        self.executor.add_node(self.node)
        self.client_executor = rclpy.executors.SingleThreadedExecutor()
        self.client_executor.add_node(self.client_node)
        self._threads = [Thread(target=executor.spin) for executor in (self.executor, self.client_executor)]
        for thread in self._threads:
            thread.start()
        wait_for(self.client.server_is_ready)
        wait_for(lambda: self.states)
        wait_for(lambda: self.client_node.count_publishers('tinychat/tokens'))

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

    def pieces(self, goal_id: Any) -> list[TokenMessage]:
        """Return all token messages of a goal, once the last one is there."""
        def mine() -> list[TokenMessage]:
            return [token for token in self.tokens if list(token.goal_id.uuid) == list(goal_id.uuid)]

        wait_for(lambda: any(token.last for token in mine()))
        return mine()

    def close(self) -> None:
        """End both."""
        self.node.stop()
        for executor in (self.executor, self.client_executor):
            executor.shutdown()
        for thread in self._threads:
            thread.join()
        self.node.close()
        self.client_node.destroy_node()


@pytest.fixture(scope='session', autouse=True)
def ros() -> Iterator[None]:
    """One context for all tests of the process."""
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    yield
    rclpy.try_shutdown()


@pytest.fixture
def start(request: pytest.FixtureRequest) -> Iterator[Callable[..., Robot]]:
    """Return a function that starts a robot with these parameters (`sampling__seed` for sampling.seed)."""
    robots: list[Robot] = []

    def begin(**parameters: Any) -> Robot:
        namespace = f'robot_{abs(hash(request.node.nodeid)) % 10**9}_{len(robots)}'
        robots.append(Robot(ScriptedEngine(), namespace, **parameters))
        return robots[-1]

    yield begin
    for robot in robots:
        robot.close()


@pytest.fixture
def robot(start: Callable[..., Robot]) -> Robot:
    """Start a robot with the default parameters."""
    return start()
