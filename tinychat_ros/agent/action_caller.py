# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The calls of an action of the robot."""

from __future__ import annotations

from time import monotonic, sleep
from typing import Any
from uuid import uuid4

from action_msgs.msg import GoalStatus
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from unique_identifier_msgs.msg import UUID

from tinychat_ros.agent.caller import Caller, CallFailedError
from tinychat_ros.agent.guarded import Guarded, GuardLostError
from tinychat_ros.agent.message_data import message_data
from tinychat_ros.agent.tool import Tool
from tinychat_ros.agent.wakeup import Wakeup
from tinychat_ros.distribution import ActionClient

LONGEST_CANCEL = 2.0  # [s] for a canceled goal to end; after that no other motion may begin until it does
ENDED = {GoalStatus.STATUS_CANCELED: 'was canceled by somebody else', GoalStatus.STATUS_ABORTED: 'was aborted'}


class ActionCaller(Caller):
    """Runs an action, and cancels its goal when the task or the time ends."""

    def __init__(self, node: Node, tool: Tool, guarded: Guarded) -> None:
        """Create the client."""
        super().__init__(node, tool)
        self._guarded = guarded
        self._client = ActionClient(
            node, tool.cls, tool.spec.interface, callback_group=ReentrantCallbackGroup())
        self._running = ''  # the id of a goal without a result
        guarded.prepare_action(self.interface)

    @property
    def is_there(self) -> bool:
        """Whether there is a server."""
        return bool(self._client.server_is_ready())

    @property
    def is_running(self) -> bool:
        """Whether a server that is still there has a goal that has not ended."""
        return bool(self._running) and self.is_there

    def call(self, values: dict[str, Any], duration: float, wakeup: Wakeup) -> dict[str, Any]:
        """Return the result."""
        until = self._until()
        self.await_there(wakeup, until, f'the action {self.interface} is not there')
        goal_id = uuid4()
        key = goal_id.hex
        try:
            self._guarded.arm_action(key, self.interface, goal_id.bytes, wakeup)
        except GuardLostError as error:
            raise CallFailedError(str(error)) from None
        self._running = key
        sent = self._client.send_goal_async(self._message(values), goal_uuid=UUID(uuid=list(goal_id.bytes)))
        goal = _Goal(sent, lambda: self._ended(key, wakeup))
        try:
            wakeup.wait(lambda: goal.has_ended, until)
        finally:
            if not goal.has_ended:
                goal.cancel()
        if goal.response is None:
            raise CallFailedError(
                'the action has refused the goal' if goal.has_ended else
                f'the action has not ended within {self.tool.spec.time_limit:g} s; it was canceled, and may still run')
        data = message_data(goal.response.result, self.tool.spec.result)
        if goal.is_canceled:
            raise CallFailedError(f'the action has not ended within {self.tool.spec.time_limit:g} s and was canceled',
                                  data)
        if goal.response.status != GoalStatus.STATUS_SUCCEEDED:
            raise CallFailedError(f"the action {ENDED.get(goal.response.status, 'has failed')}", data)
        return {'result': data}

    def _ended(self, key: str, wakeup: Wakeup) -> None:
        self._guarded.disarm(key)
        if self._running == key:
            self._running = ''
        wakeup.notify()


class _Goal:
    """A goal that has been sent: follows it to its end, also after the call has given it up."""

    def __init__(self, sent: Any, on_end: Any) -> None:
        """Take the future of the goal's acceptance; `on_end` is called once it has a result or was refused."""
        self.response: Any = None
        self.is_canceled = False
        self.has_ended = False
        self._on_end = on_end
        self._handle: Any = None
        sent.add_done_callback(self._on_sent)

    def cancel(self) -> None:
        """Cancel it, and wait for its end, but not longer than LONGEST_CANCEL."""
        self.is_canceled = True
        if self._handle is not None:
            self._handle.cancel_goal_async()
        end = monotonic() + LONGEST_CANCEL
        while not self.has_ended and monotonic() < end:
            sleep(0.005)

    def _on_sent(self, future: Any) -> None:
        handle = future.result()
        if not handle.accepted:
            self._end()
            return
        self._handle = handle
        if self.is_canceled:
            handle.cancel_goal_async()
        handle.get_result_async().add_done_callback(self._on_result)

    def _on_result(self, future: Any) -> None:
        self.response = future.result()
        self._end()

    def _end(self) -> None:
        self.has_ended = True
        self._on_end()
