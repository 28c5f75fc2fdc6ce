# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Too much of something is refused before anything is done for each part of it: the executor has other work."""

from __future__ import annotations

from typing import Any

import pytest

from tinychat_core.errors import InvalidParameterError
from tinychat_core.serving.requests import MAX_IMAGES, MAX_MESSAGES
from tinychat_ros.image_sources import images_of
from tinychat_ros.interfaces import Chat
from tinychat_ros.translation import dialogue_of


class Untouched:
    """What must not be looked at."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f'{name} was asked for')


def test_messages() -> None:
    messages: Any = [Untouched()] * (MAX_MESSAGES + 1)
    with pytest.raises(InvalidParameterError, match=r'messages: 10001 messages, more than the limit of 10000'):
        dialogue_of(messages)


def test_images_and_topics() -> None:
    topics: Any = Untouched()
    with pytest.raises(InvalidParameterError, match=f'images: {MAX_IMAGES + 1} images, more than the limit'):
        images_of(Chat.Goal(image_topics=['camera'] * (MAX_IMAGES + 1)), topics)
