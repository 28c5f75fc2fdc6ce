# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Talk to the chat node from a terminal. The answer streams to stdout; Ctrl-C cancels it."""

from __future__ import annotations

import argparse
import atexit
from collections.abc import Callable, Sequence
import os
from pathlib import Path
import signal
import sys
from time import monotonic
from typing import Any
from uuid import uuid4

from action_msgs.msg import GoalStatus
import rclpy
from rclpy.action import ActionClient
from rclpy.action.client import ClientGoalHandle
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args
from sensor_msgs.msg import CompressedImage

from tinychat_core.commands.terminal import figures, prompts
from tinychat_core.errors import TinyChatError
from tinychat_core.regular_file import read_file
from tinychat_ros.interfaces import Chat, State

# As deep as the node's: the shorter queue of the two ends decides what is lost.
FEEDBACK_QOS, SERVICE_QOS = QoSProfile(depth=1000), QoSProfile(depth=2000)
STATE_QOS = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
# After one of the two processes was stopped for a while, DDS may lose the node and find it again within this time.
PATIENCE = 2.0  # [s]
# DDS may never rediscover a client that was stopped. After this time without feedback, it creates a new context.
SILENCE = 3.0  # [s]


class ClientError(Exception):
    """There is no answer; the message says why."""


class ChatClient:
    """A client of one chat node that runs one goal at a time."""

    def __init__(self, node: Node, server: str, timeout: float) -> None:
        """
        Create the client for the chat node `server`, a name relative to `node`'s namespace.

        `timeout`: how long to wait for the chat node [s].
        """
        self._server = server
        self._timeout = timeout
        self._interrupts = 0
        self._is_asking = False
        # Times when the server was last seen, when we last checked for it, and when feedback last arrived.
        self._seen = self._looked = self._heard = 0.0
        self._back_at: float | None = None  # when a stopped process came back, if nothing has arrived since
        self._connect(node)

    def _connect(self, node: Node) -> None:
        self._node = node
        self._state = State()
        self._executor = SingleThreadedExecutor(context=node.context)
        self._executor.add_node(node)
        self._client: ActionClient[Any, Any, Any] = ActionClient(
            node, Chat, f'{self._server}/chat', feedback_sub_qos_profile=FEEDBACK_QOS,
            goal_service_qos_profile=SERVICE_QOS, result_service_qos_profile=SERVICE_QOS,
            cancel_service_qos_profile=SERVICE_QOS)
        node.create_subscription(State, f'{self._server}/state', self._on_state, STATE_QOS)

    def _reconnect(self, handle: Any) -> Any:
        """Create a DDS participant that the node can discover, and return its handle of the goal, without feedback."""
        context = Context()
        rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
        atexit.register(context.try_shutdown)
        self._executor.shutdown()
        self._connect(rclpy.create_node(self._node.get_name(), namespace=self._node.get_namespace(), context=context))
        self.wait()
        self._seen, self._looked, self._back_at = monotonic(), monotonic(), None
        return ClientGoalHandle(self._client, handle.goal_id, Chat.Impl.SendGoalService.Response(accepted=True))

    def interrupt(self, *_: Any) -> None:
        """Cancel the running goal. If none runs, raise KeyboardInterrupt; the second interrupt ends the client."""
        self._interrupts += 1
        if not self._is_asking:
            raise KeyboardInterrupt

    def wait(self) -> None:
        """
        Wait until the node is active; loading the model may take any time.

        Raises ClientError if the node has failed, or if it is missing or inactive for longer than the timeout.
        """
        deadline = monotonic() + self._timeout
        while not (self._client.server_is_ready() and self._state.state in (State.IDLE, State.BUSY)):
            self._executor.spin_once(0.05)
            if self._state.state == State.ERROR:
                raise ClientError(f'the node failed: {self._state.error}')
            if self._state.state == State.LOADING:
                deadline = monotonic() + self._timeout
            if monotonic() > deadline:
                if self._client.server_is_ready():
                    raise ClientError(f'{self._server} is not active: '
                                      f'`ros2 lifecycle set {self._server} activate`')
                raise ClientError(f'no answer from {self._server} within {self._timeout:g} s; '
                                  'is the node running?')

    def ask(self, goal: Any) -> Any:
        """
        Send a Chat.Goal, print the answer as it arrives, and return the Chat.Result.

        Raises ClientError if the goal is rejected or the node disappears.
        """
        self._interrupts, self._is_asking = 0, True
        try:
            return self._ask(goal)
        finally:
            self._is_asking = False

    def _ask(self, goal: Any) -> Any:
        printed: list[str] = []

        def show(message: Any) -> None:
            self._heard = monotonic()
            if message.feedback.delta:
                printed.append(message.feedback.delta)
                print(message.feedback.delta, end='', flush=True)

        rejected = self._state.rejected_goals
        self._seen = self._looked = sent_at = monotonic()
        self._back_at = None
        sent = self._client.send_goal_async(goal, show)
        while not sent.done():
            self._spin()
            # A node answers at once, but its answer can be lost.
            if monotonic() - sent_at > self._timeout:
                raise ClientError(f'{self._server} does not say whether it accepts the goal; try again')
        handle: Any = sent.result()
        if not handle.accepted:
            raise ClientError(f'the goal was rejected: {self._rejection(rejected)}')
        response = self._await_result(handle)
        if response.status == GoalStatus.STATUS_UNKNOWN:
            raise ClientError('the node no longer has the result')
        # Feedback can be lost or arrive after the result. The result has the whole text.
        text, shown = response.result.text, ''.join(printed)
        print(text[len(shown):] if text.startswith(shown) else f'\n{text}', flush=True)
        return response.result

    def _await_result(self, handle: Any) -> Any:
        future = handle.get_result_async()
        canceling = False
        while not future.done():
            if self._interrupts and not canceling:
                canceling = True
                handle.cancel_goal_async()
            if self._interrupts > 1:
                raise ClientError('interrupted')
            if self._spin():
                # The result may have been lost meanwhile. The node keeps it for at least 10 s.
                future = handle.get_result_async()
            elif self._back_at is not None and monotonic() - max(self._back_at, self._heard) > SILENCE:
                handle = self._reconnect(handle)
                future, canceling = handle.get_result_async(), False
        return future.result()

    def _spin(self) -> bool:
        """Handle callbacks. Return True if a process was stopped meanwhile; raise ClientError if the node has gone."""
        self._executor.spin_once(0.05)
        now = monotonic()
        unlooked = now - self._looked
        if unlooked < 0.1:
            return False
        self._looked = now
        if unlooked > 1.0:  # this client was stopped, not the node
            self._seen = self._back_at = now
            return True
        away = now - self._seen
        if self._client.server_is_ready():
            self._seen = now
            if away > 1.0:
                self._back_at = now
            return away > 1.0
        if away > PATIENCE and self._back_at is None:
            print(flush=True)  # end the line before the message on stderr
            raise ClientError('the node has disappeared')
        return False

    def _rejection(self, before: int) -> str:
        """Return the reason of a rejection from ~/state, which arrives after the rejection."""
        deadline = monotonic() + 1
        while self._state.rejected_goals == before and monotonic() < deadline:
            self._executor.spin_once(0.05)
        return self._state.last_rejection or "see the node's log for the reason"

    def _on_state(self, state: Any) -> None:
        self._state = state


def summary(result: Any) -> str:
    """Return the figures of a Chat.Result in a line."""
    line = figures(result.new_tokens, result.time_to_first_token, result.tokens_per_second, result.finish_reason)
    return f'{line} {result.error_msg}' if result.error_msg else line


def _whole(bits: int) -> Callable[[str], int]:
    def whole(text: str) -> int:
        number = int(text)
        if not -1 << (bits - 1) <= number < 1 << (bits - 1):
            raise argparse.ArgumentTypeError(f'{text} is out of range')
        return number

    return whole


def arguments() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog='chat_client', description=__doc__,
                                     epilog="Options that are not given default to the node's parameters.")
    add = parser.add_argument
    add('prompt', nargs='*', help='ask this and exit; without a prompt, ask each line of stdin')
    add('--node', default='tinychat', help='name of the node (default: %(default)s)')
    add('--timeout', type=float, default=10.0, metavar='S', help='how long to wait for the node (default: 10)')
    add('--conversation', default='', metavar='NAME',
        help='conversation_id of the prompts (default: a new one for the lines of stdin, none for a prompt)')
    add('--image', action='append', default=[], metavar='FILE',
        help='show this image before the first prompt; may be given several times')
    add('--system', default='', metavar='TEXT', help='system prompt')
    add('--max-new-tokens', type=_whole(32), default=-1, metavar='N', help='maximum length of the answer')
    add('--temperature', type=float, default=-1.0, metavar='T', help='0: always the most likely token')
    add('--top-k', type=_whole(32), default=-1, metavar='K', help='sample only from the K most likely tokens; 0: off')
    add('--top-p', type=float, default=-1.0, metavar='P',
        help='sample only from the most likely tokens that together have probability P; 1: off')
    add('--min-p', type=float, default=-1.0, metavar='P',
        help='sample only from tokens at least P times as likely as the most likely one; 0: off')
    add('--repetition-penalty', type=float, default=-1.0, metavar='R',
        help='above 1: fewer repetitions; 1: off')
    add('--seed', type=_whole(64), default=-1, metavar='N', help='the same seed gives the same answer')
    add('--stop', action='append', default=[], metavar='TEXT',
        help='text that ends the answer; may be given several times')
    return parser


def goal_of(options: argparse.Namespace, prompt: str, images: Sequence[CompressedImage] = ()) -> Any:
    """Return the Chat.Goal for a prompt, with images before it."""
    goal = Chat.Goal(prompt=prompt, system_prompt=options.system, stop=options.stop,
                     conversation_id=options.conversation, max_new_tokens=options.max_new_tokens,
                     compressed_images=[*images])
    for name in ('temperature', 'top_k', 'top_p', 'min_p', 'repetition_penalty', 'seed'):
        setattr(goal.sampling, name, getattr(options, name))
    return goal


def ask_all(args: list[str] | None) -> bool:
    """Ask once or line by line. Return whether the last answer is complete. Raises what rclpy and ChatClient raise."""
    options = arguments().parse_args(remove_ros_args(args or sys.argv)[1:])
    if not options.prompt and not options.conversation:
        options.conversation = f'chat_client {uuid4()}'
    images = [CompressedImage(data=read_file(Path(path))) for path in options.image]
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node('chat_client')
    is_complete = True
    try:
        client = ChatClient(node, options.node, options.timeout)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, client.interrupt)
        client.wait()
        for prompt in prompts(' '.join(options.prompt) if options.prompt else None):
            result = client.ask(goal_of(options, prompt, images))
            images = []
            print(summary(result), file=sys.stderr, flush=True)
            is_complete = result.finish_reason in (Chat.Result.STOP, Chat.Result.LENGTH)
    finally:
        node.destroy_node()
    return is_complete


def main(args: list[str] | None = None) -> int:
    """Run the client. Return 1 if the last answer is incomplete."""
    try:
        return 0 if ask_all(args) else 1
    except OSError as error:  # stdout is closed or full: keep the interpreter from reporting it again
        if not isinstance(error, BrokenPipeError):
            print(f'chat_client: {error}', file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    # RuntimeError and ValueError: from rclpy for invalid names, and for input that is not UTF-8.
    except (ClientError, TinyChatError, RuntimeError, ValueError) as error:
        print(f'chat_client: {" ".join(str(error).split())}', file=sys.stderr)
    except KeyboardInterrupt:
        pass
    finally:
        rclpy.try_shutdown()
    return 1


if __name__ == '__main__':
    sys.exit(main())
