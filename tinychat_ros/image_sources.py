# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The images of a goal, as the core takes them: those that it carries, then the newest frames of topics."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Event
from time import monotonic
from typing import Any

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.exceptions import NameValidationException
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.validate_topic_name import validate_topic_name
from sensor_msgs.msg import CompressedImage, Image

from tinychat_core.engine import Canceled, CancelFlag
from tinychat_core.errors import InvalidParameterError, NoImageError, shown
from tinychat_core.vision import image
from tinychat_core.vision.sources import EncodedImage, ImageSource, RawImage
from tinychat_ros.distribution import SubscriptionEventCallbacks
from tinychat_ros.interfaces import Chat

# What cameras publish with; a reliable publisher serves it, too.
FRAME_QOS = QoSProfile(depth=1, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.BEST_EFFORT)
KINDS = {'sensor_msgs/msg/Image': Image, 'sensor_msgs/msg/CompressedImage': CompressedImage}
LOOK_PERIOD = 0.02  # [s] between looks at the graph, a cancel and the time limit


class ImageTopics:
    """Takes single frames of topics: a topic is subscribed to from the start of a goal until its next frame."""

    def __init__(self, node: Node) -> None:
        """Take the node that subscribes; its parameter `image_timeout` says how long a goal waits for a frame."""
        self._node = node
        self._group = ReentrantCallbackGroup()

    def is_name(self, topic: str) -> bool:
        """Return whether a topic can have this name."""
        try:
            validate_topic_name(topic)
            self._node.resolve_topic_name(topic)
        except (NameValidationException, RuntimeError, ValueError):
            return False
        return True

    def frame(self, topic: str, cancel: CancelFlag) -> ImageSource:
        """
        Return the next frame of a topic.

        Raises NoImageError where none comes in time, or the topic has another type, and Canceled once `cancel` is set.
        """
        timeout = float(self._node.get_parameter('image_timeout').value or 0)
        deadline = monotonic() + timeout
        frames: list[Any] = []
        arrived = Event()

        def on_frame(message: Any) -> None:
            frames[:] = [message]
            arrived.set()

        subscription = None
        try:
            while not arrived.wait(LOOK_PERIOD):
                if cancel.is_set():
                    raise Canceled('canceled')
                if subscription is None and (kind := self._kind(topic)) is not None:
                    # An executor that waits meanwhile bears the end of a subscription, but not that of its events.
                    subscription = self._node.create_subscription(
                        kind, topic, on_frame, FRAME_QOS, callback_group=self._group,
                        event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False))
                if monotonic() > deadline:
                    what = 'nobody publishes it' if subscription is None else 'no frame came'
                    raise NoImageError(f'{topic}: {what} within {timeout:g} s; is the camera running?')
        finally:
            if subscription is not None:
                self._node.destroy_subscription(subscription)
        return source_of(frames[0], topic)

    def _kind(self, topic: str) -> Any:
        """Return the class of a topic's messages; None where nobody publishes it."""
        name = self._node.resolve_topic_name(topic)
        found = {info.topic_type for info in self._node.get_publishers_info_by_topic(name)}
        if found and not found & {*KINDS}:
            raise NoImageError(f'{topic} has the type {", ".join(sorted(found))}; images are {" or ".join(KINDS)}')
        return next((KINDS[kind] for kind in KINDS if kind in found), None)


class TopicImage:
    """The newest frame of a topic, taken when the goal starts."""

    def __init__(self, topics: ImageTopics, topic: str) -> None:
        """Take where frames come from."""
        self._topics = topics
        self._topic = topic

    def load(self, cancel: CancelFlag) -> image.Image:
        """Return the frame; raises as ImageTopics.frame, and as its decoding."""
        return self._topics.frame(self._topic, cancel).load(cancel)


def source_of(message: Any, what: str) -> ImageSource:
    """Return the image of a sensor_msgs message, which is decoded later; `what` names it."""
    if isinstance(message, CompressedImage):
        return EncodedImage(bytes(message.data), what)
    return RawImage(message.width, message.height, message.encoding, message.step, bool(message.is_bigendian),
                    bytes(message.data), what)


def images_of(goal: Chat.Goal, topics: ImageTopics) -> list[ImageSource]:
    """Return the images of a goal by their numbers; InvalidParameterError for the name of a topic that is none."""
    for i, topic in enumerate(goal.image_topics):
        if not topics.is_name(topic):
            raise InvalidParameterError(f'image_topics[{i}] = {shown(topic)} is not the name of a topic')
    return [*(source_of(message, f'images[{i}]') for i, message in enumerate(goal.images)),
            *(source_of(message, f'compressed_images[{i}]') for i, message in enumerate(goal.compressed_images)),
            *(TopicImage(topics, topic) for topic in goal.image_topics)]


def with_images(messages: Sequence[Any], dialogue: list[dict[str, Any]], images: Sequence[ImageSource]) -> None:
    """
    Give each message of a dialogue the images that it names.

    Raises InvalidParameterError for a number that no image has, and for an image that no message names.
    """
    named = set()
    for i, (message, entry) in enumerate(zip(messages, dialogue, strict=True)):
        for number in message.images:
            if number >= len(images):
                raise InvalidParameterError(f'messages[{i}].images names image {number}, but the goal has '
                                            f'{len(images)}; they are counted from 0')
            named.add(number)
        if len(message.images):
            entry['images'] = [images[number] for number in message.images]
    left = sorted({*range(len(images))} - named)
    if left:
        raise InvalidParameterError(f'no message names image {left[0]}; put its number into the images of one')
