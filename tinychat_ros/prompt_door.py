# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The topics ~/prompt, ~/prompt/stop and ~/prompt/reset: a dialogue without an action client."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Lock
from time import monotonic
from typing import Any, Protocol
from uuid import UUID, uuid4

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from std_msgs.msg import Empty, String

from tinychat_core.serving.chat_handle import ChatHandle
from tinychat_core.serving.chat_service import ChatService
from tinychat_core.serving.requests import ChatRequest
from tinychat_core.serving.results import ChatEvent, Finished
from tinychat_ros.answer_publishers import AnswerPublishers
from tinychat_ros.arrivals import Arrivals
from tinychat_ros.goal_log import log_end
from tinychat_ros.interfaces import Chat
from tinychat_ros.prompt_topic import PromptTopic


class Door(Protocol):
    """What the prompts need of the action's server."""

    service: ChatService | None

    def check(self, goal: Chat.Goal, audience: str = '') -> tuple[ChatService, ChatRequest] | None:
        """Return who answers a goal, and its request; None for a goal that is rejected."""


class PromptDoor:
    """Answers prompts as if each were a goal; what is answered goes to the topics alone."""

    def __init__(self, node: Node, door: Door, publishers: AnswerPublishers, group: CallbackGroup,
                 arrivals: Arrivals) -> None:
        """Subscribe; messages are received in `group`, and handled in the thread of `arrivals`."""
        self._node = node
        self._door = door
        self._publishers = publishers
        self._lock = Lock()
        self._handles: dict[UUID, ChatHandle] = {}  # those that wait or run

        def later(callback: Callable[[Any], None]) -> Callable[[Any], None]:
            return lambda message: arrivals.put(partial(callback, message))

        self._topics = [PromptTopic(node, name, kind, later(callback), group) for name, kind, callback in (
            ('~/prompt', String, self._on_prompt), ('~/prompt/stop', Empty, self._on_stop),
            ('~/prompt/reset', Empty, self._on_reset))]

    def _on_prompt(self, message: String) -> None:
        checked = self._door.check(Chat.Goal(prompt=message.data,
                                             conversation_id=self._value('prompt_conversation_id')),
                                   audience='person')  # spoken answers have the same listener
        if checked is None:
            return
        service, request = checked
        request_id, accepted_at = uuid4(), monotonic()
        ended = False

        def on_event(event: ChatEvent) -> None:
            nonlocal ended
            try:
                self._publishers.publish(request_id, request.conversation_id, event)
            finally:
                if isinstance(event, Finished):
                    with self._lock:
                        ended = True
                        self._handles.pop(request_id, None)
                    log_end(self._node.get_logger(), f'goal {request_id}', event.result, accepted_at)

        handle = service.submit(request, on_event, request_id, is_accepted=True)
        with self._lock:
            if not ended:
                self._handles[request_id] = handle

    def _on_stop(self, _: Empty) -> None:
        with self._lock:
            handles = [*self._handles.values()]
        for handle in reversed(handles):  # those that wait first: none must start meanwhile
            handle.cancel()

    def _on_reset(self, message: Empty) -> None:
        self._on_stop(message)
        conversation_id = self._value('prompt_conversation_id')
        service = self._door.service
        if not conversation_id:
            self._node.get_logger().warning('~/prompt/reset: prompts do not belong to a conversation; set '
                                            'prompt_conversation_id')
        elif service is not None:
            service.conversations.reset_when_free(conversation_id)

    def _value(self, name: str) -> Any:
        return self._node.get_parameter(name).value
