# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
r"""
Measure the overhead of the node over the core: tokens per second, time to first token, cancel and follow-up turns.

The node runs in its own process, and this process is its only client. All times are measured here, so they include the
middleware. Core and node are measured in turn, and their medians compared:

    .venv/bin/python benchmarks/node_overhead.py --model models/smollm2-135m-instruct
    .venv/bin/python benchmarks/node_overhead.py --only decode \
        --beside 'ros2 topic echo /bench/tinychat/tokens tinychat_interfaces/msg/Token'
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
import json
from pathlib import Path
import random
import shlex
import signal
from statistics import median
import subprocess
import sys
from time import monotonic, sleep
from typing import Any

import rclpy
from rclpy.action import ActionClient
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile

from tinychat_core.engine import Engine
from tinychat_core.sampling import SamplingParams
from tinychat_ros.interfaces import Chat, Message, SamplingParams as Sampling

STORY = 'Write a very long story about a robot that explores a cave.'
GREEDY = Sampling(temperature=0.0)
DEEP = QoSProfile(depth=1000)


class Asked:
    """A goal and the times of its events, on this process's clock [s]."""

    def __init__(self, bench: Bench, goal: Chat.Goal) -> None:
        """Send the goal and wait until it is accepted."""
        self._bench = bench
        self.first_text = 0.0
        sent = bench.client.send_goal_async(goal, self._on_feedback)
        bench.spin_until(sent.done)
        self.accepted = monotonic()
        self.handle: Any = sent.result()
        assert self.handle.accepted
        self._ended = self.handle.get_result_async()

    def _on_feedback(self, message: Any) -> None:
        if not self.first_text and message.feedback.stage == Chat.Feedback.DECODE:
            self.first_text = monotonic()

    def result(self) -> Chat.Result:
        """Wait for the result."""
        self._bench.spin_until(self._ended.done)
        return self._ended.result().result

    def cancel(self) -> float:
        """Cancel the goal. Return the time until its result arrives [s]."""
        begin = monotonic()
        self.handle.cancel_goal_async()
        self.result()
        return monotonic() - begin


class Bench:
    """A node with the model, the core with the same model, and a second subscriber."""

    def __init__(self, model: Path, max_seq_len: int, beside: str) -> None:
        """Load the model and start the processes."""
        self.model = model
        self.engine = Engine.open(model, max_seq_len=max_seq_len)
        rclpy.init()
        node = rclpy.create_node('bench', namespace='/bench')
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(node)
        self.client: Any = ActionClient(node, Chat, 'tinychat/chat', feedback_sub_qos_profile=DEEP,
                                        goal_service_qos_profile=DEEP, result_service_qos_profile=DEEP,
                                        cancel_service_qos_profile=DEEP)
        command = [str(Path(sys.executable).with_name('chat_node')), '--ros-args', '-r', '__ns:=/bench',
                   '-p', f'model:={model}', '-p', f'max_seq_len:={max_seq_len}']
        self._processes = [subprocess.Popen(command, stderr=subprocess.DEVNULL)]
        self.spin_until(self.client.server_is_ready)
        if beside:
            self._processes.append(subprocess.Popen(shlex.split(beside), stdout=subprocess.DEVNULL))
            self.spin_until(lambda: node.count_subscribers('tinychat/tokens'))
        self.warm_up()

    def warm_up(self) -> None:
        """Wait until the node has loaded the model and answered once."""
        while True:
            sent = self.client.send_goal_async(Chat.Goal(prompt='Hi', max_new_tokens=8))
            self.spin_until(sent.done)
            if sent.result().accepted:
                self.spin_until(sent.result().get_result_async().done)
                return
            sleep(0.1)

    def spin_until(self, condition: Callable[[], Any]) -> None:
        """Run callbacks until the condition holds."""
        while not condition():
            self.executor.spin_once(timeout_sec=0.1)

    def ask(self, prompt: str, **fields: Any) -> Asked:
        """Send a goal."""
        return Asked(self, Chat.Goal(prompt=prompt, sampling=GREEDY, **fields))

    def close(self) -> None:
        """End the processes and close the engine."""
        for process in self._processes:
            process.send_signal(signal.SIGINT)
            process.wait()
        rclpy.shutdown()
        self.engine.close()


def decode(bench: Bench, rounds: int, tokens: int) -> dict[str, Any]:
    """Compare the decode speed [tokens/s]."""
    core, node = [], []
    params = SamplingParams(max_new_tokens=tokens, stop=('\0',))
    for _ in range(rounds):
        times = [monotonic() for _ in bench.engine.generate([{'role': 'user', 'content': STORY}], params)]
        core.append((len(times) - 1) / (times[-1] - times[0]))
        node.append(bench.ask(STORY, max_new_tokens=tokens).result().tokens_per_second)
    return {'core_tokens_per_s': median(core), 'node_tokens_per_s': median(node),
            'ratio': median(node) / median(core),
            'ratio_of_rounds': sorted(round(b / a, 3) for a, b in zip(core, node, strict=True))}


def first_token(bench: Bench, rounds: int) -> dict[str, Any]:
    """Measure the time from acceptance to the first text here, minus the time in the engine."""
    added, sent = [], []
    for i in range(rounds):
        begin = monotonic()
        asked = bench.ask(f'{i}: say hello.', max_new_tokens=4)
        sent.append(1e3 * (asked.accepted - begin))
        result = asked.result()
        added.append(1e3 * (asked.first_text - asked.accepted - result.time_to_first_token))
    return {'node_adds_ms': median(added), 'node_adds_ms_worst': max(added), 'goal_response_ms': median(sent)}


def cancel(bench: Bench, rounds: int) -> dict[str, Any]:
    """Measure canceling at random times of a prefill and of an answer."""
    chance = random.Random(0)
    prefill, answer = [], []
    long = 'The robot explores the cave. ' * 300
    for i in range(rounds):
        asked = bench.ask(f'{i} {long}', max_new_tokens=2)
        sleep(chance.uniform(0.0, 0.5))
        prefill.append(1e3 * asked.cancel())
        asked = bench.ask(f'{i} {STORY}', max_new_tokens=500)
        bench.spin_until(lambda asked=asked: asked.first_text)
        sleep(chance.uniform(0.0, 0.2))
        answer.append(1e3 * asked.cancel())
    return {'cancel_in_prefill_ms': median(prefill), 'cancel_in_prefill_ms_worst': max(prefill),
            'cancel_in_answer_ms': median(answer), 'cancel_in_answer_ms_worst': max(answer)}


def follow_up(bench: Bench, rounds: int) -> dict[str, Any]:
    """Compare the time to the first token of a follow-up with that of the same dialogue without a cache."""
    warm, cold, history = [], [], 0
    for i in range(rounds):
        name, story = f'talk {i}', f'Story {i}. ' + 'The robot explores the cave. ' * 170
        first = bench.ask(story, conversation_id=name, max_new_tokens=16).result()
        second = bench.ask('Where is the robot now?', conversation_id=name, max_new_tokens=4).result()
        history = second.reused_tokens
        warm.append(1e3 * second.time_to_first_token)
        # With another first letter, so that no cache matches.
        anew = [Message(role='user', content=f'A {story}'), Message(role='assistant', content=first.text),
                Message(role='user', content='Where is the robot now?')]
        third = bench.ask('', messages=anew, max_new_tokens=4).result()
        cold.append(1e3 * third.time_to_first_token)
    return {'history_tokens': history, 'follow_up_ms': median(warm), 'cold_ms': median(cold),
            'follow_up_share': median(warm) / median(cold)}


def main() -> None:
    """Measure and print the results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--model', type=Path, default=Path('models/smollm2-135m-instruct'))
    parser.add_argument('--only', choices=('decode', 'first_token', 'cancel', 'follow_up'))
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--tokens', type=int, default=200, help='length of an answer in `decode`')
    parser.add_argument('--beside', default='', metavar='COMMAND', help='also run this subscriber of the tokens')
    options = parser.parse_args()
    measurements: dict[str, Callable[[Bench], dict[str, Any]]] = {
        'decode': lambda bench: decode(bench, options.rounds, options.tokens),
        'first_token': lambda bench: first_token(bench, 3 * options.rounds),
        'cancel': lambda bench: cancel(bench, 3 * options.rounds),
        'follow_up': lambda bench: follow_up(bench, options.rounds),
    }
    bench = Bench(options.model, 2048, options.beside)
    try:
        for name, measure in measurements.items():
            if options.only in (None, name):
                print(json.dumps({name: measure(bench)}), flush=True)
    finally:
        bench.close()


if __name__ == '__main__':
    main()
