# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Talk to the node from a terminal: the answer streams to stdout, Ctrl-C cancels it."""

from __future__ import annotations

import argparse
import atexit
from collections.abc import Callable, Iterator
import os
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

from tinychat_core.commands.terminal_input import turns
from tinychat_core.errors import TinyChatError
from tinychat_ros.interfaces import Chat, State

# As deep as the node's: a deep queue at one end alone loses what the other cannot hold.
FEEDBACK_QOS, SERVICE_QOS = QoSProfile(depth=1000), QoSProfile(depth=2000)
STATE_QOS = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
# A node may vanish for a moment, after one of the two was stopped, and come back.
PATIENCE = 2.0  # [s]
# What DDS forgot of a client that stood still, it may never learn again: after so long without a word it begins anew.
SILENCE = 3.0  # [s]


class ClientError(Exception):
    """Why there is no answer."""


class ChatClient:
    """One node's action, one goal at a time."""

    def __init__(self, node: Node, server: str, timeout: float) -> None:
        """
        Prepare to talk to the node named `server`, relative to `node`'s namespace.

        `timeout`: how long to wait for it [s].
        """
        self._server = server
        self._timeout = timeout
        self._interrupts = 0
        self._is_asking = False
        self._seen = self._looked = self._heard = 0.0  # when the server was there, we looked last, and an answer came
        self._back_at: float | None = None  # when one of the two came back, if nothing is sure since
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
        """Return a goal's handle of a new participant, whom the node gets to know; of its feedback no more comes."""
        context = Context()
        rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
        atexit.register(context.try_shutdown)
        self._executor.shutdown()
        self._connect(rclpy.create_node(self._node.get_name(), namespace=self._node.get_namespace(), context=context))
        self.wait()
        self._seen, self._looked, self._back_at = monotonic(), monotonic(), None
        return ClientGoalHandle(self._client, handle.goal_id, Chat.Impl.SendGoalService.Response(accepted=True))

    def interrupt(self, *_: Any) -> None:
        """Cancel the goal that runs; without one, and the second time, end."""
        self._interrupts += 1
        if not self._is_asking:
            raise KeyboardInterrupt

    def wait(self) -> None:
        """
        Wait until the node serves, for as long as it loads its model.

        ClientError where it has failed, or after the timeout in which there is no node or it is not active.
        """
        deadline = monotonic() + self._timeout
        while not (self._client.server_is_ready() and self._state.state in (State.IDLE, State.BUSY)):
            self._executor.spin_once(0.05)
            if self._state.state == State.ERROR:
                raise ClientError(f'the node has failed: {self._state.error}')
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
        Print the answer to a Chat.Goal as it arrives, and return the Chat.Result.

        ClientError where the goal is rejected, or the server disappears.
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
            # A node answers at once, but an answer may be lost.
            if monotonic() - sent_at > self._timeout:
                raise ClientError(f'{self._server} does not tell whether it takes the goal')
        handle: Any = sent.result()
        if not handle.accepted:
            raise ClientError(f'the goal was rejected: {self._rejection(rejected)}')
        response = self._await_result(handle)
        if response.status == GoalStatus.STATUS_UNKNOWN:
            raise ClientError('the node does not keep the result any more')
        # Feedback may be lost, or overtaken by the result, which has the whole text.
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
                # What was on its way may be lost; the node keeps a result for 10 s.
                future = handle.get_result_async()
            elif self._back_at is not None and monotonic() - max(self._back_at, self._heard) > SILENCE:
                handle = self._reconnect(handle)
                future, canceling = handle.get_result_async(), False
        return future.result()

    def _spin(self) -> bool:
        """Handle what comes; True where one of the two was away for a moment, ClientError where the server stays so."""
        self._executor.spin_once(0.05)
        now = monotonic()
        unlooked = now - self._looked
        if unlooked < 0.1:
            return False
        self._looked = now
        if unlooked > 1.0:  # it was this client that stood still
            self._seen = self._back_at = now
            return True
        away = now - self._seen
        if self._client.server_is_ready():
            self._seen = now
            if away > 1.0:
                self._back_at = now
            return away > 1.0
        if away > PATIENCE and self._back_at is None:
            print(flush=True)  # ahead of what goes to stderr
            raise ClientError('the node has disappeared')
        return False

    def _rejection(self, before: int) -> str:
        """Return the reason from ~/state, which comes after the rejection."""
        deadline = monotonic() + 1
        while self._state.rejected_goals == before and monotonic() < deadline:
            self._executor.spin_once(0.05)
        return self._state.last_rejection or 'the log of the node tells why'

    def _on_state(self, state: Any) -> None:
        self._state = state


def summary(result: Any) -> str:
    """Return the figures of a Chat.Result in a line."""
    line = (f'[{result.new_tokens} tokens, first after {1e3 * result.time_to_first_token:.0f} ms, '
            f'{result.tokens_per_second:.1f} tokens/s, {result.finish_reason}]')
    return f'{line} {result.error_msg}' if result.error_msg else line


def _whole(bits: int) -> Callable[[str], int]:
    def whole(text: str) -> int:
        number = int(text)
        if not -1 << (bits - 1) <= number < 1 << (bits - 1):
            raise argparse.ArgumentTypeError(f'{text} is too large')
        return number

    return whole


def arguments() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog='chat_client', description=__doc__,
                                     epilog="What is not given is the node's parameter of that name.")
    add = parser.add_argument
    add('prompt', nargs='*', help='ask this and end; without it, every line of stdin is a question')
    add('--node', default='tinychat', help='name of the node (default: %(default)s)')
    add('--timeout', type=float, default=10.0, metavar='S', help='wait so long for the node (default: 10)')
    add('--conversation', default='', metavar='NAME',
        help='keep what was said under this name (default: one of its own for the lines of stdin)')
    add('--system', default='', metavar='TEXT', help='system prompt')
    add('--max-new-tokens', type=_whole(32), default=-1, metavar='N', help='longest answer')
    add('--temperature', type=float, default=-1.0, metavar='T', help='0: always the likeliest token')
    add('--top-k', type=_whole(32), default=-1, metavar='K', help='only the K likeliest tokens; 0: off')
    add('--top-p', type=float, default=-1.0, metavar='P', help='only the likeliest with this mass; 1: off')
    add('--min-p', type=float, default=-1.0, metavar='P',
        help='only what is P times as likely as the best; 0: off')
    add('--repetition-penalty', type=float, default=-1.0, metavar='R',
        help='above 1: fewer repetitions; 1: off')
    add('--seed', type=_whole(64), default=-1, metavar='N', help='the same seed gives the same answer')
    add('--stop', action='append', default=[], metavar='TEXT',
        help='a text that ends the answer; may be repeated')
    return parser


def goal_of(options: argparse.Namespace, prompt: str) -> Any:
    """Return the Chat.Goal that asks `prompt`."""
    goal = Chat.Goal(prompt=prompt, system_prompt=options.system, stop=options.stop,
                     conversation_id=options.conversation, max_new_tokens=options.max_new_tokens)
    for name in ('temperature', 'top_k', 'top_p', 'min_p', 'repetition_penalty', 'seed'):
        setattr(goal.sampling, name, getattr(options, name))
    return goal


def prompts(given: list[str]) -> Iterator[str]:
    """Yield the one prompt that was given, or the lines of stdin that say something."""
    if given:
        yield ' '.join(given)
    else:
        yield from turns()


def ask_all(args: list[str] | None) -> bool:
    """Ask once, or line by line; return whether the last answer is whole. Raises as rclpy and ChatClient do."""
    options = arguments().parse_args(remove_ros_args(args or sys.argv)[1:])
    if not options.prompt and not options.conversation:
        options.conversation = f'chat_client {uuid4()}'
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node('chat_client')
    is_complete = True
    try:
        client = ChatClient(node, options.node, options.timeout)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, client.interrupt)
        client.wait()
        for prompt in prompts(options.prompt):
            result = client.ask(goal_of(options, prompt))
            print(summary(result), file=sys.stderr, flush=True)
            is_complete = result.finish_reason in (Chat.Result.STOP, Chat.Result.LENGTH)
    finally:
        node.destroy_node()
    return is_complete


def main(args: list[str] | None = None) -> int:
    """Return 1 where there is no whole answer."""
    try:
        return 0 if ask_all(args) else 1
    except OSError as error:  # nobody reads the output, or it has no room; the interpreter need not say so again
        if not isinstance(error, BrokenPipeError):
            print(f'chat_client: {error}', file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    except (ClientError, TinyChatError, RuntimeError, ValueError) as error:  # rclpy's for bad names; no UTF-8
        print(f'chat_client: {" ".join(str(error).split())}', file=sys.stderr)
    except KeyboardInterrupt:
        pass
    finally:
        rclpy.try_shutdown()
    return 1


if __name__ == '__main__':
    sys.exit(main())
