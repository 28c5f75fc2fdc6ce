# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Three services that ask about the loaded model."""

from __future__ import annotations

from rclpy.callback_groups import CallbackGroup, MutuallyExclusiveCallbackGroup
from rclpy.node import Node

from tinychat_core.errors import one_line, TinyChatError
from tinychat_core.serving.chat_service import ChatService
from tinychat_core.serving.conversations import Reset
from tinychat_core.text.messages import texts_of
from tinychat_ros.interfaces import GetModelInfo, ResetConversation, Tokenize
from tinychat_ros.translation import dialogue_of

MOST_CHARACTERS = 2**18  # of ~/tokenize: some tenths of a second, for which goals may have to wait
NO_MODEL = 'no model is loaded'
RESET_MESSAGES = {Reset.DONE: '', Reset.IN_USE: 'in use by a running goal', Reset.UNKNOWN: 'unknown conversation'}


class Services:
    """~/tokenize, ~/get_model_info and ~/reset_conversation; `service` is the loaded model, or None."""

    def __init__(self, node: Node, group: CallbackGroup) -> None:
        """Create the services on a node; without a model they say so."""
        self.service: ChatService | None = None
        # One at a time: long texts would take every thread of the executor, and goals, cancels and the lifecycle wait.
        node.create_service(Tokenize, '~/tokenize', self._on_tokenize, callback_group=MutuallyExclusiveCallbackGroup())
        node.create_service(GetModelInfo, '~/get_model_info', self._on_model_info, callback_group=group)
        node.create_service(ResetConversation, '~/reset_conversation', self._on_reset, callback_group=group)

    def _on_tokenize(self, request: Tokenize.Request, response: Tokenize.Response) -> Tokenize.Response:
        service = self.service
        if service is None:
            response.message = NO_MODEL
            return response
        response.context_length = service.engine.context_length
        try:
            if bool(request.text) == bool(request.messages):
                raise TinyChatError('give either text or messages')
            if any(len(message.images) for message in request.messages):
                raise TinyChatError('messages: images are not counted here; image_tokens of a result says how many '
                                    'tokens they took')
            messages = dialogue_of(request.messages)
            characters = len(request.text) + sum(map(len, texts_of(messages)))
            if characters > MOST_CHARACTERS:
                raise TinyChatError(f'{characters} characters exceed the limit of {MOST_CHARACTERS}')
            tokenizer = service.engine.tokenizer
            response.tokens = tokenizer.encode_chat(messages) if messages else tokenizer.encode(request.text)
            response.success = True
        except TinyChatError as error:
            response.message = str(error)
        return response

    def _on_model_info(self, _: GetModelInfo.Request,
                       response: GetModelInfo.Response) -> GetModelInfo.Response:
        service = self.service
        if service is None:
            response.message = NO_MODEL
            return response
        engine = service.engine
        response.success = True
        response.path, response.family, response.precision = one_line(str(engine.path)), engine.family, engine.precision
        response.group_size, response.backend = engine.group_size, engine.backend
        response.context_length, response.vocabulary_size = engine.context_length, engine.vocab_size
        response.weights_bytes, response.kv_cache_bytes = engine.weights_bytes, engine.kv_cache_bytes
        response.vision = engine.images is not None
        response.image_tokens = 0 if engine.images is None else engine.images.count(640, 480)
        response.tools, response.thinking = engine.tokenizer.knows_tools, engine.tokenizer.switches_thinking
        return response

    def _on_reset(self, request: ResetConversation.Request,
                  response: ResetConversation.Response) -> ResetConversation.Response:
        service = self.service
        response.message = (NO_MODEL if service is None else
                            RESET_MESSAGES[service.conversations.reset(request.conversation_id)])
        response.success = not response.message
        return response
