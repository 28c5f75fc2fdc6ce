# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""One accepted goal of the action: what its client hears, and its one terminal state."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from time import monotonic, sleep
from typing import Any
from uuid import UUID

from tinychat_core.serving.chat_handle import ChatHandle
from tinychat_core.serving.results import ChatEvent, ChatResult, Finished, FinishReason, Queued
from tinychat_ros.answer_publishers import AnswerPublishers
from tinychat_ros.interfaces import Chat
from tinychat_ros.translation import feedback_of, result_of


class ActionGoal:
    """
    Translates a request's events for the client of an action.

    rclpy takes what an executor's thread returns as the result. So from the start of the computation one thread waits
    for its end.
    """

    def __init__(self, handle: Any, conversation_id: str, publishers: AnswerPublishers,
                 ended: Callable[[ActionGoal, ChatResult], None]) -> None:
        """Take rclpy's handle; `ended` is called once the goal has its terminal state."""
        self.id = UUID(bytes=bytes(handle.goal_id.uuid))
        self.accepted_at = monotonic()
        self.chat: ChatHandle | None = None
        self._handle = handle
        self._conversation_id = conversation_id
        self._publishers = publishers
        self._ended = ended
        self._is_executing = False
        self._finished = Event()
        self._result: ChatResult | None = None

    def on_event(self, event: ChatEvent) -> None:
        """Hear of the request; from any thread, one at a time."""
        try:
            self._publishers.publish(self.id, self._conversation_id, event)
            self._handle.publish_feedback(feedback_of(event))
        finally:
            if isinstance(event, Finished):
                self._result = event.result
                self._finished.set()
            if not self._is_executing and not isinstance(event, Queued):
                self._is_executing = True
                self._execute()

    def _execute(self) -> None:
        """Let an executor's thread wait for the end; only a goal that executes can reach a terminal state."""
        try:
            self._handle.execute(self._complete)
        except RuntimeError:  # it has been canceled within the call, and is to be executed none the less
            self._handle.execute(self._complete)

    def _complete(self, _: Any) -> Chat.Result:
        self._finished.wait()
        result = self._result
        assert result is not None
        try:
            if result.finish_reason is FinishReason.ABORTED:
                self._handle.abort()
            elif result.finish_reason is FinishReason.CANCELED:
                await_cancel(self._handle)
                self._handle.canceled()
            else:
                self._handle.succeed()
        finally:
            self._ended(self, result)
        return result_of(result)


def await_cancel(handle: Any) -> None:
    """Wait until rclpy has marked a goal as canceling: it does so after the cancel callback."""
    for _ in range(10_000):
        if handle.is_cancel_requested:
            return
        sleep(0.0005)
