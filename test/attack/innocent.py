# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
A client that means no harm, beside others that do.

`python innocent.py NAMESPACE` sends goals one after the other and cancels each, until its stdin ends. Then it prints
a line of JSON: `cancels`, the seconds from each request to cancel to the goal's result, and `others`, how many goals
ended in another way. It is a process of its own, because the time that hostile clients take to write a megabyte is
none of the node's.
"""

from __future__ import annotations

from collections import Counter
import json
from random import Random
import sys
from threading import Event, Thread
from time import monotonic
from typing import Any

import rclpy
from rclpy.action import ActionClient
from rclpy.executors import SingleThreadedExecutor

from tinychat_ros.distribution import end_spinning
from tinychat_ros.interfaces import Chat

PROMPTS = ('Tell me a story.', 'Tell me a story about a robot and its friends. ' * 20)
DELAYS = (0.0, 0.01, 0.05, 0.2)  # [s] from the acceptance to the cancel
PATIENCE = 60.0  # [s]


def wait(future: Any) -> Any:
    """Return what another thread brings."""
    done = Event()
    future.add_done_callback(lambda _: done.set())
    assert done.wait(PATIENCE), 'the node has not answered'
    return future.result()


def canceled(client: Any, random: Random) -> tuple[str, float]:
    """Return how a goal ended that was canceled, and how long that took [s]."""
    handle = wait(client.send_goal_async(Chat.Goal(prompt=random.choice(PROMPTS), max_new_tokens=200)))
    if not handle.accepted:
        return 'rejected', 0.0
    result = handle.get_result_async()
    arrived: list[float] = []
    result.add_done_callback(lambda _: arrived.append(monotonic()))
    Event().wait(random.choice(DELAYS))
    asked = monotonic()
    handle.cancel_goal_async()
    reason = wait(result).result.finish_reason
    return reason, arrived[0] - asked


def main() -> None:
    """Send goals until stdin ends."""
    over = Event()

    def await_end() -> None:
        sys.stdin.read()
        over.set()

    Thread(target=await_end, daemon=True).start()
    rclpy.init()
    node = rclpy.create_node('innocent', namespace=sys.argv[1])
    client: Any = ActionClient(node, Chat, 'tinychat/chat')
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    spinning = Thread(target=executor.spin, daemon=True)
    spinning.start()
    assert client.wait_for_server(PATIENCE), 'there is no node'
    random, cancels, others = Random(0), [], Counter[str]()
    while not (over.is_set() and cancels):  # a short attack may be over before this process has begun
        reason, seconds = canceled(client, random)
        if reason == 'canceled':
            cancels.append(seconds)
        else:
            others[reason] += 1
            over.wait(0.05)
    print(json.dumps({'cancels': cancels, 'others': others}), flush=True)
    end_spinning(executor, spinning)
    node.destroy_node()
    rclpy.shutdown()


if __name__ == '__main__':
    main()
