# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Talk to the node from a terminal: the answer streams to stdout, Ctrl-C cancels it."""

from __future__ import annotations

import argparse
import signal
import sys
from time import monotonic
from typing import Any

import rclpy
from rclpy.action import ActionClient
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args

from tinychat_ros.interfaces import Chat, State

QOS = QoSProfile(depth=1000)


class ClientError(Exception):
    """Why there is no answer."""


class ChatClient:
    """One node's action, one goal at a time."""

    def __init__(self, node: Node, server: str) -> None:
        """Prepare to talk to the node named `server`, relative to `node`'s namespace."""
        self._node = node
        self._server = server
        self._last_rejection = ''
        self._interrupted = False
        self._client: ActionClient[Any, Any, Any] = ActionClient(
            node, Chat, f'{server}/chat', feedback_sub_qos_profile=QOS, goal_service_qos_profile=QOS,
            result_service_qos_profile=QOS, cancel_service_qos_profile=QOS)
        node.create_subscription(State, f'{server}/state', self._on_state, QoSProfile(depth=10))

    def wait(self, seconds: float) -> None:
        """Wait for the server; ClientError after `seconds`."""
        deadline = monotonic() + seconds
        while not self._client.server_is_ready():
            self._spin()
            if self._interrupted:
                raise ClientError('interrupted')
            if monotonic() > deadline:
                raise ClientError(f'no answer from {self._server} within {seconds:g} s; is the node running?')

    def interrupt(self, *_: Any) -> None:
        """Cancel the goal that runs; without one, end."""
        self._interrupted = True

    def ask(self, goal: Chat.Goal) -> Chat.Result:
        """
        Print the answer as it arrives and return the result, partial where the goal was canceled.

        ClientError where the goal is rejected or the server disappears.
        """
        self._interrupted = False
        printed: list[str] = []

        def show(message: Any) -> None:
            if message.feedback.delta:
                printed.append(message.feedback.delta)
                print(message.feedback.delta, end='', flush=True)

        handle = self._await(self._client.send_goal_async(goal, show))
        if not handle.accepted:
            self._spin(0.3)
            raise ClientError(f'the goal was rejected: {self._last_rejection or "see the log of the node"}')
        future = handle.get_result_async()
        canceling = False
        while not future.done():
            if self._interrupted and not canceling:
                canceling = True
                handle.cancel_goal_async()
            self._spin()
            if not self._client.server_is_ready():
                print()
                raise ClientError('the node has disappeared')
        result: Chat.Result = future.result().result
        # Feedback may be lost or late on a bad link; the result has the whole text.
        shown = ''.join(printed)
        print(result.text[len(shown):] if result.text.startswith(shown) else f'\n{result.text}', flush=True)
        return result

    def _await(self, future: Any) -> Any:
        while not future.done():
            self._spin()
            if not self._client.server_is_ready():
                raise ClientError('the node has disappeared')
        return future.result()

    def _spin(self, seconds: float = 0.05) -> None:
        rclpy.spin_once(self._node, timeout_sec=seconds)

    def _on_state(self, state: State) -> None:
        self._last_rejection = state.last_rejection


def summary(result: Chat.Result) -> str:
    """Return the figures of an answer in a line."""
    line = (f'[{result.new_tokens} tokens, first after {1e3 * result.time_to_first_token:.0f} ms, '
            f'{result.tokens_per_second:.1f} tokens/s, {result.finish_reason}]')
    return f'{line} {result.error_msg}' if result.error_msg else line


def main(args: list[str] | None = None) -> int:
    """Ask once, or line by line from stdin; returns 1 where there is no whole answer."""
    parser = argparse.ArgumentParser(prog='chat_client', description=__doc__)
    parser.add_argument('prompt', nargs='*', help='ask this and end; without it, every line of stdin is a question')
    parser.add_argument('--node', default='tinychat', help='name of the node (default: tinychat)')
    parser.add_argument('--system', default='', help="system prompt (default: the node's parameter)")
    parser.add_argument('--max-new-tokens', type=int, default=-1, metavar='N', help="default: the node's parameter")
    parser.add_argument('--temperature', type=float, default=-1.0, metavar='T', help="default: the node's parameter")
    parser.add_argument('--seed', type=int, default=-1, metavar='N', help="default: the node's parameter")
    parser.add_argument('--timeout', type=float, default=10.0, metavar='S', help='wait so long for the node (10)')
    options = parser.parse_args(remove_ros_args(args if args is not None else sys.argv)[1:])
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node('chat_client')
    client = ChatClient(node, options.node)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, client.interrupt)
    complete = True
    try:
        client.wait(options.timeout)
        for prompt in [' '.join(options.prompt)] if options.prompt else sys.stdin:
            goal = Chat.Goal(prompt=prompt.rstrip('\n'), system_prompt=options.system,
                             max_new_tokens=options.max_new_tokens)
            goal.sampling.temperature, goal.sampling.seed = options.temperature, options.seed
            result = client.ask(goal)
            print(summary(result), file=sys.stderr, flush=True)
            complete = result.finish_reason in (Chat.Result.STOP, Chat.Result.LENGTH)
    except ClientError as error:
        print(f'chat_client: {error}', file=sys.stderr)
        complete = False
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    return 0 if complete else 1


if __name__ == '__main__':
    sys.exit(main())
