# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The topics that carry every answer's text: ~/tokens, and sentences for a node that speaks."""

from __future__ import annotations

from uuid import UUID

from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from std_msgs.msg import Header, String

from tinychat_core.serving.results import ChatEvent, Finished, TextDelta
from tinychat_ros.interfaces import Token
from tinychat_ros.translation import delta_of, id_message, text_for_message

# As deep as an answer is long: a subscriber that stalls for a moment misses nothing.
TOKEN_QOS = QoSProfile(depth=1000)


class AnswerPublishers:
    """The publishers of answers."""

    def __init__(self, node: Node) -> None:
        """Create the publishers on a node; that of sentences only where the parameter `sentence_topic` names one."""
        self._clock = node.get_clock()
        options = QoSOverridingOptions.with_default_policies()
        # A profile of its own: rclpy writes into it what overrides it.
        self._tokens = node.create_publisher(Token, '~/tokens', QoSProfile(depth=TOKEN_QOS.depth),
                                             qos_overriding_options=options)
        topic = node.get_parameter('sentence_topic').value
        self._sentences = node.create_publisher(String, topic, QoSProfile(depth=100),
                                                qos_overriding_options=options) if topic else None

    def publish(self, request_id: UUID, conversation_id: str, event: ChatEvent) -> None:
        """Publish the piece of text that comes with an event, if one does."""
        if not isinstance(event, (TextDelta, Finished)):
            return
        delta = delta_of(event)
        if self._tokens.get_subscription_count():  # a message without subscribers costs as much as any other
            token = Token(header=Header(stamp=self._clock.now().to_msg()), goal_id=id_message(request_id),
                          conversation_id=conversation_id, index=delta.index, new_tokens=delta.new_tokens,
                          delta=text_for_message(delta.text), thought_delta=text_for_message(delta.thought))
            if isinstance(event, Finished):
                token.last, token.served_by = True, event.result.served_by
                token.finish_reason = event.result.finish_reason.value
                token.error_code = event.result.error_code.value
            self._tokens.publish(token)
        if self._sentences is not None:
            for sentence in delta.sentences:
                self._sentences.publish(String(data=text_for_message(sentence)))
