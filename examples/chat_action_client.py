#!/usr/bin/env python3
# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Ask the chat node from a node of your own: send a goal, follow the answer, get the result, cancel.

    python3 chat_action_client.py "What is a lidar?"
    python3 chat_action_client.py --cancel-after 0.5 "Tell me a long story."
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
import sys

from action_msgs.msg import GoalStatus
import rclpy
from rclpy.action import ActionClient
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.task import Future

from tinychat_interfaces.action import Chat


class Asker(Node):
    """A node that asks; what comes back goes to the callbacks of `ask`, in the executor's thread."""

    def __init__(self) -> None:
        """Create the client; the feedback queue is as deep as the node's, so that no piece is lost."""
        super().__init__('asker')
        self._client: ActionClient = ActionClient(
            self, Chat, 'tinychat/chat', feedback_sub_qos_profile=QoSProfile(depth=1000))
        self._handle = None

    def ask(self, prompt: str, on_text: Callable[[str], None],
            on_end: Callable[[int, Chat.Result], None]) -> None:
        """Send a goal; call `on_text` with each piece and `on_end` with status and result."""
        shown = []

        def on_feedback(message: Chat.Impl.FeedbackMessage) -> None:
            if shown is not None:
                shown.append(message.feedback.delta)
                on_text(message.feedback.delta)

        def on_result(future: Future) -> None:
            nonlocal shown
            result, text = future.result().result, ''.join(shown)
            shown = None  # what comes now has been overtaken
            # Pieces may be lost; the result has the whole text.
            on_text(result.text[len(text):] if result.text.startswith(text) else f'\n{result.text}')
            on_end(future.result().status, result)

        def on_goal(future: Future) -> None:
            self._handle = future.result()
            if not self._handle.accepted:
                # A rejection has no reason of its own in ROS 2: tinychat/state tells it.
                on_end(GoalStatus.STATUS_UNKNOWN, Chat.Result(error_msg='the goal was rejected'))
                return
            self._handle.get_result_async().add_done_callback(on_result)

        self._client.wait_for_server()
        goal = Chat.Goal(prompt=prompt, max_new_tokens=200)
        self._client.send_goal_async(goal, on_feedback).add_done_callback(on_goal)

    def cancel(self) -> None:
        """End the goal; its result comes none the less, with the text so far."""
        if self._handle is not None:
            self._handle.cancel_goal_async()


def main() -> int:
    """Ask once and print the answer as it comes; returns 1 where there is no whole one."""
    parser = argparse.ArgumentParser(description='Ask the chat node.')
    parser.add_argument('prompt')
    parser.add_argument('--cancel-after', type=float, metavar='S', help='cancel after so many seconds')
    arguments = parser.parse_args(rclpy.utilities.remove_ros_args()[1:])
    rclpy.init()
    asker = Asker()
    done: Future = Future()

    def on_end(status: int, result: Chat.Result) -> None:
        print(f'\n[{result.finish_reason or "rejected"}: {result.new_tokens} tokens] {result.error_msg}')
        done.set_result(status == GoalStatus.STATUS_SUCCEEDED)

    asker.ask(arguments.prompt, lambda text: print(text, end='', flush=True), on_end)
    if arguments.cancel_after is not None:
        asker.create_timer(arguments.cancel_after, asker.cancel)
    rclpy.spin_until_future_complete(asker, done)
    asker.destroy_node()
    rclpy.shutdown()
    return 0 if done.result() else 1


if __name__ == '__main__':
    sys.exit(main())
