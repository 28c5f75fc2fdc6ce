# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Many goals of all kinds, several at once, and the books on how each of them ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
import subprocess
import sys
from threading import Lock, Thread, Timer
from time import monotonic, sleep
from typing import Any

from action_msgs.msg import GoalStatus
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
import rclpy
from rclpy.action import ActionClient
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.signals import SignalHandlerOptions
from waiting import wait_for

from tinychat_ros.distribution import end_spinning
from tinychat_ros.interfaces import Chat, Message, SamplingParams, State, Token

# What a goal may be: kind, share of all goals.
KINDS = {'plain': 0.80, 'canceled': 0.10, 'invalid': 0.05, 'client killed': 0.05}
ENDS = {GoalStatus.STATUS_SUCCEEDED: ('stop', 'length'), GoalStatus.STATUS_CANCELED: ('canceled',),
        GoalStatus.STATUS_ABORTED: ('aborted',)}
INVALID: tuple[dict[str, Any], ...] = (
    {'prompt': ''}, {'max_new_tokens': 0}, {'sampling': SamplingParams(temperature=float('nan'))},
    {'messages': [Message(role='user', content='both')]}, {'prompt': 'too long ' * 1000})
CONVERSATIONS = ('', '', 'kitchen', 'hall', 'garden')  # more than there are caches for
POLICIES = 6 * ('queue',) + 3 * ('preempt',) + ('reject',)
AT_ONCE = 8  # goals under way: more than can run at the same time


def anonymous_memory(pid: int) -> float:
    """Return what a process has allocated, the mapped model not included [MB]."""
    for line in Path(f'/proc/{pid}/status').read_text().splitlines():
        if line.startswith('RssAnon:'):
            return int(line.split()[1]) / 1000
    raise AssertionError('no RssAnon')


class Soak:
    """
    A client of the node that is this process, in `namespace`.

    `counts`: how goals ended. `ends`: how often each accepted goal's last piece came. `memory`: the
    node's, after each fiftieth goal [MB]. `most_running`: at the same time. The same `seed` asks the same.
    """

    def __init__(self, namespace: str, process: subprocess.Popen[bytes], seed: int = 0) -> None:
        """Find the node."""
        self.counts: Counter[str] = Counter()
        self.accepted: set[str] = set()
        self.ends: Counter[str] = Counter()
        self.memory: list[float] = []
        self.state = State()
        self.most_running = 0
        self._namespace, self._process, self._random = namespace, process, Random(seed)
        self._lock, self._under_way = Lock(), 0
        self._killing: list[Thread] = []
        # A context of its own: other tests of the process have the default one.
        self._context = rclpy.Context()
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self._node = rclpy.create_node('soak', namespace=namespace, context=self._context)
        deep = QoSProfile(depth=2000)
        self._node.create_subscription(Token, 'tinychat/tokens', self._on_token, deep)
        self._node.create_subscription(
            State, 'tinychat/state', self._on_state,
            QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL))
        self._client: ActionClient[Any, Any, Any] = ActionClient(
            self._node, Chat, 'tinychat/chat', feedback_sub_qos_profile=deep,
            goal_service_qos_profile=deep, result_service_qos_profile=deep,
            cancel_service_qos_profile=deep)
        self._parameters = self._node.create_client(SetParameters, 'tinychat/set_parameters')
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = Thread(target=self._executor.spin, daemon=True)
        self._thread.start()
        wait_for(lambda: self._client.server_is_ready() and self._parameters.service_is_ready(), 60)

    def fill_caches(self, count: int) -> None:
        """Fill so many KV caches to their ends: a page of one is the node's from when it is first written to."""
        sent = [self._client.send_goal_async(Chat.Goal(prompt='robot ' * 205, max_new_tokens=16)) for _ in range(count)]
        self._wait(lambda: all(future.done() for future in sent))
        results = [future.result().get_result_async() for future in sent]
        self._wait(lambda: all(future.done() for future in results))
        for future in results:
            assert future.result().result.prompt_tokens > 224, 'the last page is not reached'

    def run(self, goals: int, report: Callable[[str], None] = lambda _: None) -> None:
        """Send so many goals and wait until all of them have ended."""
        kinds = [kind for kind, share in KINDS.items() for _ in range(round(share * goals))]
        self._random.shuffle(kinds)
        start = monotonic()
        for number, kind in enumerate(kinds, start=1):
            self._wait(lambda: self._under_way < AT_ONCE)
            self._count(1)
            if kind == 'client killed':
                self._killing.append(Thread(target=self._kill_a_client))
                self._killing[-1].start()
            else:
                self._send(kind)
            if self._random.random() < 0.05:
                self._set_policy(self._random.choice(POLICIES))
            if number % 50 == 0:
                self.memory.append(anonymous_memory(self._process.pid))
                report(f'{number} goals, {monotonic() - start:.0f} s, {self.memory[-1]:.1f} MB')
        self._wait(lambda: self._under_way == 0)
        for thread in self._killing:
            thread.join()
        # Of a goal whose client is gone, only ~/tokens tells the end.
        self._wait(lambda: self.accepted <= set(self.ends))
        self._wait(lambda: self.state.state == State.IDLE and self.state.queued_goals == 0)

    def close(self) -> None:
        """Leave."""
        end_spinning(self._executor, self._thread)
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)

    def _wait(self, condition: Callable[[], bool]) -> None:
        wait_for(lambda: condition() or self._process.poll() is not None, 120)
        assert self._process.poll() is None, 'the node has ended'

    def _send(self, kind: str) -> None:
        fields: dict[str, Any] = {'prompt': 'Tell me a story.', 'priority': int(self._random.random() < 0.1),
                                  'max_new_tokens': self._random.choice((1, 2, 4, 8, 16, 32)),
                                  'conversation_id': self._random.choice(CONVERSATIONS)}
        if kind == 'canceled':
            fields['max_new_tokens'] = 200
        elif kind == 'invalid':
            fields |= self._random.choice(INVALID)
        sent = self._client.send_goal_async(Chat.Goal(**fields))
        sent.add_done_callback(lambda future: self._on_answer(kind, future.result()))

    def _on_answer(self, kind: str, handle: Any) -> None:
        if not handle.accepted:
            self._note('rejected')
            return
        self.accepted.add(bytes(handle.goal_id.uuid).hex())
        handle.get_result_async().add_done_callback(lambda future: self._on_result(future.result()))
        if kind == 'canceled':
            timer = Timer(self._random.random() * 0.2, handle.cancel_goal_async)
            timer.daemon = True
            timer.start()

    def _on_result(self, response: Any) -> None:
        reason = response.result.finish_reason
        code = response.result.error_code
        is_right = reason in ENDS.get(response.status, ()) and (code != 0) == (reason == 'aborted')
        self._note(f'{reason} {code}' if is_right else f'wrong: {response.status} {reason} {code}')

    def _kill_a_client(self) -> None:
        command = [sys.executable, str(Path(__file__).with_name('killed_client.py')), self._namespace]
        with subprocess.Popen([*command, str(self._random.choice((4, 16, 64)))],
                              stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            goal_id = process.stdout.readline().strip()
            sleep(self._random.random() * 0.1)
            process.kill()
        if goal_id and goal_id != 'rejected':
            self.accepted.add(goal_id)
        # Without an id: DDS may lose the answer to a client that has only just appeared.
        self._note('rejected' if goal_id == 'rejected' else 'client killed')

    def _set_policy(self, policy: str) -> None:
        value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=policy)
        future = self._parameters.call_async(
            SetParameters.Request(parameters=[Parameter(name='busy_policy', value=value)]))
        future.add_done_callback(lambda answer: self._count_policy(policy, answer.result()))

    def _count_policy(self, policy: str, answer: Any) -> None:
        assert answer.results[0].successful
        self.counts[f'busy_policy {policy}'] += 1

    def _note(self, end: str) -> None:
        self.counts[end] += 1
        self._count(-1)

    def _count(self, change: int) -> None:
        with self._lock:
            self._under_way += change

    def _on_token(self, token: Token) -> None:
        if token.last:
            self.ends[bytes(token.goal_id.uuid).hex()] += 1

    def _on_state(self, state: State) -> None:
        self.state = state
        self.most_running = max(self.most_running, len(state.running_goals))
