# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The stop message is sent by whoever ends a task, before the task's own thread is told."""

from __future__ import annotations

from typing import Any

import pytest

from tinychat_ros.agent.topic_callers import _Motion
from tinychat_ros.agent.wakeup import TaskEnded, Wakeup
from tinychat_ros.interfaces import Task


class Publisher:
    """Keeps what is published; fails as often as it is told."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.sent: list[Any] = []
        self.failures = 0

    def publish(self, message: Any) -> None:
        """Keep a message."""
        if self.failures:
            self.failures -= 1
            raise RuntimeError('the publisher has failed')
        self.sent.append(message)


@pytest.fixture
def publisher() -> Publisher:
    return Publisher()


@pytest.fixture
def motion(publisher: Publisher) -> _Motion:
    return _Motion(publisher, lambda: 'stop')


def test_the_end_of_a_task_sends_it(publisher: Publisher, motion: _Motion) -> None:
    wakeup = Wakeup(0)
    with wakeup.at_end(motion.stop):
        motion.publish('go')
        wakeup.end(TaskEnded(Task.Result.CANCELED))
        assert publisher.sent == ['go', 'stop']
    motion.publish('go')
    motion.stop()
    assert publisher.sent == ['go', 'stop']


def test_a_stop_message_that_fails_is_tried_again(publisher: Publisher, motion: _Motion) -> None:
    wakeup = Wakeup(0)
    with wakeup.at_end(motion.stop):
        publisher.failures = 1
        wakeup.end(TaskEnded(Task.Result.CANCELED))
        assert publisher.sent == []
        with pytest.raises(TaskEnded):
            wakeup.check()
    motion.stop()
    assert publisher.sent == ['stop']


def test_a_task_that_ends_later_sends_nothing_more(publisher: Publisher, motion: _Motion) -> None:
    wakeup = Wakeup(0)
    with wakeup.at_end(motion.stop):
        pass
    wakeup.end(TaskEnded(Task.Result.CANCELED))
    assert publisher.sent == []
