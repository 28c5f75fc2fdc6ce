#!/usr/bin/env python3
# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Use the chat node from your own node: send a goal, stream the answer, get the result, cancel.

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
    """A node that asks questions. The executor's thread calls the callbacks of `ask`."""

    def __init__(self) -> None:
        """Create the client. Its feedback queue is as deep as the chat node's, so that no feedback is lost."""
        super().__init__('asker')
        self._client: ActionClient = ActionClient(
            self, Chat, 'tinychat/chat', feedback_sub_qos_profile=QoSProfile(depth=1000))
        self._handle = None

    def ask(self, prompt: str, on_text: Callable[[str], None],
            on_end: Callable[[int, Chat.Result], None]) -> None:
        """Send a goal. Call `on_text` with each new piece of text, and `on_end` with the status and the result."""
        shown = []

        def on_feedback(message: Chat.Impl.FeedbackMessage) -> None:
            if shown is not None:
                shown.append(message.feedback.delta)
                on_text(message.feedback.delta)

        def on_result(future: Future) -> None:
            nonlocal shown
            result, text = future.result().result, ''.join(shown)
            shown = None  # feedback that arrives after the result is ignored
            # Feedback can be lost. The result has the whole text.
            on_text(result.text[len(text):] if result.text.startswith(text) else f'\n{result.text}')
            on_end(future.result().status, result)

        def on_goal(future: Future) -> None:
            self._handle = future.result()
            if not self._handle.accepted:
                # ROS 2 has no field for the reason of a rejection. It is in `last_rejection` of tinychat/state.
                on_end(GoalStatus.STATUS_UNKNOWN, Chat.Result(error_msg='the goal was rejected'))
                return
            self._handle.get_result_async().add_done_callback(on_result)

        self._client.wait_for_server()
        goal = Chat.Goal(prompt=prompt, max_new_tokens=200)
        self._client.send_goal_async(goal, on_feedback).add_done_callback(on_goal)

    def cancel(self) -> None:
        """Cancel the goal. Its result still arrives, with the text so far."""
        if self._handle is not None:
            self._handle.cancel_goal_async()


def main() -> int:
    """Ask once and print the answer as it arrives. Returns 1 if the answer is incomplete."""
    parser = argparse.ArgumentParser(description='Ask the chat node.')
    parser.add_argument('prompt')
    parser.add_argument('--cancel-after', type=float, metavar='S', help='cancel the goal after S seconds')
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
