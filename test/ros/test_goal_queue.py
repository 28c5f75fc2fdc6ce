# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Who runs next, without ROS."""

from __future__ import annotations

import pytest

from tinychat_ros.goal_queue import GoalQueue


@pytest.fixture
def queue() -> GoalQueue[str]:
    """Return a queue in which 'running' runs with priority 5."""
    queue: GoalQueue[str] = GoalQueue()
    queue.push('running', 5, 'queue')
    assert queue.start() == 'running'
    return queue


def test_one_runs_at_a_time(queue) -> None:
    queue.push('next', 0, 'queue')
    assert queue.start() is None
    queue.finish('running')
    assert queue.start() == 'next'


def test_priority_then_arrival(queue) -> None:
    waiting = {'a': 1, 'b': 2, 'c': 2, 'd': 1}
    for item, priority in waiting.items():
        queue.push(item, priority, 'queue')
    assert [queue.ahead(item) for item in waiting] == [3, 1, 2, 4]
    order = []
    for _ in range(4):
        queue.finish(queue.running)
        order.append(queue.start())
    assert order == ['b', 'c', 'a', 'd']


def test_an_idle_queue_refuses_nothing() -> None:
    for policy in ('queue', 'reject', 'preempt'):
        assert GoalQueue().refusal(0, policy, 1) is None


def test_refusals(queue) -> None:
    assert queue.refusal(9, 'reject', 9).startswith('[busy]')
    assert queue.refusal(0, 'queue', 1) is None
    queue.push('a', 0, 'queue')
    assert queue.refusal(9, 'queue', 1) == '[queue full] 1 of 1 goals wait'
    assert queue.refusal(5, 'preempt', 1) is None
    assert queue.refusal(4, 'preempt', 1).startswith('[busy]')


def test_preemption_takes_the_place_of_all(queue) -> None:
    queue.push('waiting', 0, 'queue')
    assert queue.push('new', 5, 'preempt') == ['waiting', 'running']
    assert queue.running == 'running'
    queue.finish('running')
    assert queue.start() == 'new'


def test_waiting_goals_can_be_taken_out(queue) -> None:
    queue.push('a', 0, 'queue')
    queue.push('b', 0, 'queue')
    assert queue.take(lambda item: item == 'b') == 'b'
    assert queue.take(lambda item: item == 'running') is None
    assert queue.drain() == ['a']
    assert len(queue) == 0
