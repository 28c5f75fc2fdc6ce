# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The model of the agent: a client of a chat node's action."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

from action_msgs.msg import GoalStatus
from builtin_interfaces.msg import Duration
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSProfile

from tinychat_core.errors import one_line
from tinychat_core.serving.results import ErrorCode
from tinychat_ros.agent.ros_types import check_name
from tinychat_ros.agent.wakeup import TaskEnded, Wakeup
from tinychat_ros.distribution import ActionClient
from tinychat_ros.interfaces import Chat, Message, SamplingParams, Task

PATIENCE = 10.0  # [s] for a chat node that is not there, or has gone
FEEDBACK_QOS = QoSProfile(depth=1000)


class ChatModel:
    """Asks the chat node for the next answer of a dialogue."""

    def __init__(self, node: Node, action: str, max_new_tokens: int, temperature: float) -> None:
        """
        Create the client of an action, a name relative to the node's namespace.

        Raises InvalidParameterError for an impossible name.
        """
        check_name('chat', action)
        self._action = node.resolve_topic_name(action)
        self._max_new_tokens = max_new_tokens
        self._temperature = temperature
        self._client = ActionClient(
            node, Chat, action, callback_group=ReentrantCallbackGroup(), feedback_sub_qos_profile=FEEDBACK_QOS)

    def ask(self, messages: Sequence[Message], tools: str, wakeup: Wakeup,
            on_text: Callable[[str], None]) -> Chat.Result:
        """
        Return the next answer; `on_text` gets its text piece by piece.

        Raises TaskEnded if there is no answer, or if the task ends meanwhile; then the chat goal is canceled.
        """
        if not wakeup.wait(self._client.server_is_ready, monotonic() + PATIENCE):
            raise _failed(f'there is no chat node at {self._action}')
        goal = Chat.Goal(messages=messages, tools=tools, parallel_tool_calls=False,
                         max_new_tokens=self._max_new_tokens, sampling=SamplingParams(temperature=self._temperature))
        left = wakeup.deadline - monotonic()
        if 0 < left < 2**31:
            goal.time_limit = Duration(sec=int(left), nanosec=int(left % 1 * 1e9))
        sent = self._client.send_goal_async(goal, lambda message: on_text(message.feedback.delta))
        sent.add_done_callback(wakeup.notify)
        try:
            if not wakeup.wait(sent.done, monotonic() + PATIENCE):
                raise _failed(f'{self._action} does not say whether it accepts the goal')
            handle: Any = sent.result()
            if not handle.accepted:
                raise _failed(f'{self._action} has rejected the goal; its log and last_rejection in its state say why')
            future = handle.get_result_async()
            future.add_done_callback(wakeup.notify)
            self._await(future, wakeup)
        except TaskEnded:
            sent.add_done_callback(_cancel)
            raise
        response = future.result()
        if response.status == GoalStatus.STATUS_UNKNOWN:
            raise _failed(f'{self._action} no longer has the result')
        result = response.result
        if response.status == GoalStatus.STATUS_CANCELED:
            raise _failed('somebody else has canceled the goal of the chat node')
        return result

    def _await(self, future: Any, wakeup: Wakeup) -> None:
        """Wait for a result. Raises TaskEnded, also if the chat node has been away for PATIENCE."""
        seen = monotonic()
        while not wakeup.wait(future.done, monotonic() + 0.5):
            if self._client.server_is_ready():
                seen = monotonic()
            elif monotonic() - seen > PATIENCE:
                raise _failed(f'the chat node at {self._action} has disappeared')


def _failed(message: str) -> TaskEnded:
    return TaskEnded(Task.Result.ABORTED, ErrorCode.BACKEND_FAILED, one_line(message))


def _cancel(sent: Any) -> None:
    """Cancel a goal whose answer nobody needs any more."""
    handle = sent.result()
    if handle is not None and handle.accepted:
        handle.cancel_goal_async()
