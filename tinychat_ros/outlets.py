# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Where the pieces of an answer go: ~/tokens, the feedback of the goal, and what a node that speaks says of it."""

from __future__ import annotations

from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from std_msgs.msg import Header, String

from tinychat_ros.accepted_goal import AcceptedGoal
from tinychat_ros.interfaces import Chat, Token
from tinychat_ros.token_stream import Piece

# As deep as an answer is long: who stalls for a moment misses nothing.
TOKEN_QOS = QoSProfile(depth=1000)


class Outlets:
    """All publishers that carry an answer's text."""

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

    def emit(self, goal: AcceptedGoal, piece: Piece) -> None:
        """Send a piece of a goal's answer."""
        if self._tokens.get_subscription_count():  # a message for nobody costs as much as one for somebody
            self._tokens.publish(Token(
                header=Header(stamp=self._clock.now().to_msg()), goal_id=goal.goal_id,
                conversation_id=goal.request.conversation_id, index=piece.index, new_tokens=piece.new_tokens,
                delta=piece.delta, last=piece.last, finish_reason=piece.finish_reason, error_code=piece.error_code,
                served_by=goal.result.served_by if piece.last else ''))
        if goal.handle is not None:
            goal.handle.publish_feedback(Chat.Feedback(
                stage=Chat.Feedback.DECODE, prefill_progress=1.0, index=piece.index, new_tokens=piece.new_tokens,
                delta=piece.delta))
        # Nobody wants to hear JSON.
        if self._sentences is not None and not goal.request.params.json_schema:
            sentences = goal.speech.push(piece.delta)
            # Who has stopped the robot does not want to hear half a sentence more.
            if piece.finish_reason in (Chat.Result.STOP, Chat.Result.LENGTH):
                sentences += goal.speech.finish()
            for sentence in sentences:
                self._sentences.publish(String(data=sentence))
