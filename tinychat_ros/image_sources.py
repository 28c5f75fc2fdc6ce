# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The images of a goal, as the core takes them: those that it carries, then the newest frames of topics."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from time import monotonic, sleep
from typing import Any

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import NameValidationException
from rclpy.node import Node
from rclpy.validate_topic_name import validate_topic_name
from sensor_msgs.msg import CompressedImage, Image

from tinychat_core.engine import Canceled, CancelFlag
from tinychat_core.errors import InvalidParameterError, NoImageError, shown
from tinychat_core.serving.requests import check_amount, MAX_IMAGES
from tinychat_core.vision import image
from tinychat_core.vision.sources import EncodedImage, ImageSource, RawImage
from tinychat_ros.image_feed import ImageFeed
from tinychat_ros.interfaces import Chat, Decide

KINDS = {'sensor_msgs/msg/Image': Image, 'sensor_msgs/msg/CompressedImage': CompressedImage}
LOOK_PERIOD = 0.02  # [s] between looks at the graph, a cancel and the time limit


class ImageTopics:
    """
    Provides single frames of image topics.

    The node subscribes to a topic from the start of a goal until its next frame, and for `image_topic_linger` seconds
    longer. A goal within this time gets the newest frame at once.
    """

    def __init__(self, node: Node) -> None:
        """Store the node that subscribes. Its parameter `image_timeout` limits how long a goal waits for a frame."""
        self._node = node
        self._group = ReentrantCallbackGroup()
        self._lock = Lock()  # guards the feeds and their users
        self._feeds: dict[str, ImageFeed] = {}
        node.create_timer(1.0, self._close_unused, self._group, Clock(clock_type=ClockType.STEADY_TIME))

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
        Return the newest frame of a topic that is not older than one period of the camera, or the next one.

        Raises NoImageError if no frame arrives in time or the topic has another type, and Canceled once `cancel` is
        set.
        """
        timeout = self._seconds('image_timeout')
        deadline = monotonic() + timeout
        feed: ImageFeed | None = None
        try:
            while True:
                if cancel.is_set():
                    raise Canceled('canceled')
                if feed is None and (kind := self._kind(topic)) is not None:
                    feed = self._feed(topic, kind)
                if feed is None:
                    sleep(LOOK_PERIOD)
                elif (message := feed.frame(LOOK_PERIOD)) is not None:
                    return source_of(message, topic)
                if monotonic() > deadline:
                    what = 'nobody publishes it' if feed is None else 'no frame came'
                    raise NoImageError(f'{topic}: {what} within {timeout:g} s; is the camera running?')
        finally:
            if feed is not None:
                with self._lock:
                    feed.users -= 1
                    feed.left_at = monotonic()
                self._close_unused()

    def _feed(self, topic: str, kind: type[Any]) -> ImageFeed:
        name = self._node.resolve_topic_name(topic)
        with self._lock:
            feed = self._feeds.get(name)
            if feed is None or feed.kind is not kind:
                feed = self._feeds[name] = ImageFeed(self._node, self._group, kind, name)
            feed.users += 1
            return feed

    def _close_unused(self) -> None:
        """Unsubscribe from topics that no goal has used for `image_topic_linger` seconds."""
        linger, now = self._seconds('image_topic_linger'), monotonic()
        with self._lock:
            unused = [name for name, feed in self._feeds.items() if not feed.users and now - feed.left_at >= linger]
            for name in unused:
                self._feeds.pop(name).close()

    def _seconds(self, name: str) -> float:
        return float(self._node.get_parameter(name).value or 0)

    def _kind(self, topic: str) -> Any:
        """Return the class of a topic's messages; None if nobody publishes it."""
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


def images_of(goal: Chat.Goal | Decide.Request, topics: ImageTopics) -> list[ImageSource]:
    """
    Return the images of a goal or a decision by their numbers.

    Raises InvalidParameterError for too many of them, and for an impossible topic.
    """
    # First: a thousand names take long to check.
    count = len(goal.images) + len(goal.compressed_images) + len(goal.image_topics)
    check_amount('images', count, MAX_IMAGES, 'images')
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
