# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The services ~/decide and ~/embed: doors to the core's ChatService, in the same queue as goals."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.task import Future

from tinychat_core.errors import TinyChatError
from tinychat_core.serving.chat_service import ChatService
from tinychat_core.serving.requests import ChatRequest, DecisionRequest, EmbeddingRequest, Request, YES_OR_NO
from tinychat_core.serving.results import ChatEvent, ChatResult, DecisionResult, EmbeddingResult, Finished
from tinychat_ros.goal_log import log_end
from tinychat_ros.image_sources import images_of, ImageTopics, with_images
from tinychat_ros.interfaces import Decide, Embed
from tinychat_ros.translation import dialogue_of

INACTIVE = 'the node is not active'


class QuestionServices:
    """
    Translates requests and results; no thread of the executor waits for a result.

    `service` is the loaded model, or None.
    """

    def __init__(self, node: Node, group: CallbackGroup, topics: ImageTopics) -> None:
        """Create the services on a node; without a model they report that. `topics` provides the frames of cameras."""
        self.service: ChatService | None = None
        self._node = node
        self._topics = topics
        node.create_service(Decide, '~/decide', self._on_decide, callback_group=group)
        node.create_service(Embed, '~/embed', self._on_embed, callback_group=group)

    async def _on_decide(self, request: Decide.Request, response: Decide.Response) -> Decide.Response:
        response.best = -1
        result = await self._answer('decide', response, lambda service: self._decision(service, request))
        if isinstance(result, DecisionResult):
            response.success, response.best = True, result.best
            response.probabilities, response.entropy = list(result.probabilities), result.entropy
            response.prompt_tokens, response.reused_tokens = result.prompt_tokens, result.reused_tokens
        return response

    async def _on_embed(self, request: Embed.Request, response: Embed.Response) -> Embed.Response:
        result = await self._answer('embed', response, lambda _: EmbeddingRequest(
            texts=tuple(request.texts), normalize=request.normalize, time_limit=self._value('time_limit')))
        if isinstance(result, EmbeddingResult):
            response.success, response.dimensions = True, result.vectors.shape[1]
            response.embeddings, response.tokens = result.vectors.ravel().tolist(), result.prompt_tokens
        return response

    async def _answer(self, name: str, response: Any, request: Callable[[ChatService], Request]) -> ChatResult | None:
        """Return the result; None if there is none, and the response then says why."""
        service = self.service
        try:
            if service is None or not service.is_open:
                raise TinyChatError(INACTIVE)
            result = await self._result(service, request(service), name)
        except TinyChatError as error:
            response.message = str(error)
            return None
        if result.error_code:
            response.message = result.error_message
            return None
        return result

    async def _result(self, service: ChatService, request: Request, name: str) -> ChatResult:
        executor, accepted_at = self._node.executor, monotonic()
        ended: Future[ChatResult] = Future(executor=executor)

        def on_event(event: ChatEvent) -> None:
            if isinstance(event, Finished):
                log_end(self._node.get_logger(), name, event.result, accepted_at)
                ended.set_result(event.result)
                if executor is not None:
                    executor.create_task(lambda: None)  # wakes the executor, which then looks at the future

        service.submit(request, on_event)
        result = await ended
        assert result is not None
        return result

    def _decision(self, service: ChatService, request: Decide.Request) -> DecisionRequest:
        images, dialogue = images_of(request, self._topics), dialogue_of(request.messages)
        if dialogue:
            with_images(request.messages, dialogue, images)
        thinking = False if service.engine.tokenizer.switches_thinking else None
        question = ChatRequest(
            prompt=request.question, messages=dialogue, images=() if dialogue else images,
            conversation_id=request.conversation_id, default_system_prompt=self._value('system_prompt'),
            thinking=thinking, time_limit=self._value('time_limit'))
        return DecisionRequest(question=question, options=tuple(request.options) or YES_OR_NO)

    def _value(self, name: str) -> Any:
        return self._node.get_parameter(name).value
