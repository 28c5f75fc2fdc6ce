# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Who runs next, in every case, without ROS."""

from __future__ import annotations

from itertools import product

import pytest

from tinychat_ros.goal_queue import GoalQueue

POLICIES = ('queue', 'reject', 'preempt')


@pytest.fixture
def queue() -> GoalQueue[str]:
    """Return a queue in which 'running' runs with priority 5."""
    queue: GoalQueue[str] = GoalQueue()
    queue.push('running', 5, 'queue')
    assert queue.start() == 'running'
    return queue


def test_one_runs_at_a_time(queue: GoalQueue[str]) -> None:
    queue.push('next', 0, 'queue')
    assert queue.start() is None
    queue.finish('running')
    assert queue.start() == 'next'
    queue.finish('next')
    assert queue.start() is None
    assert queue.running is None


@pytest.mark.parametrize('priorities', list(product(range(3), repeat=4)))
def test_priority_then_arrival(queue: GoalQueue[str], priorities: tuple[int, ...]) -> None:
    for item, priority in zip('abcd', priorities, strict=True):
        queue.push(item, priority, 'queue')
    expected = [item for _, item in sorted(zip(priorities, 'abcd', strict=True), key=lambda entry: -entry[0])]
    assert [queue.ahead(item) for item in expected] == [1, 2, 3, 4]
    order = []
    for _ in range(4):
        queue.finish(queue.running or '')
        order.append(queue.start())
    assert order == expected


@pytest.mark.parametrize('policy', POLICIES)
def test_an_idle_queue_refuses_nothing_and_preempts_nothing(policy: str) -> None:
    queue: GoalQueue[str] = GoalQueue()
    assert queue.refusal(0, policy, 1) is None
    assert queue.push('a', 0, policy) == ([], None)
    assert queue.ahead('a') == 0
    assert queue.start() == 'a'


@pytest.mark.parametrize('priority', [0, 5, 9])
def test_reject_refuses_whatever_the_priority(queue: GoalQueue[str], priority: int) -> None:
    assert queue.refusal(priority, 'reject', 9) == '[busy] another goal is running'


@pytest.mark.parametrize(('depth', 'waiting'), [(1, 0), (1, 1), (1, 2), (3, 2), (3, 3)])
def test_a_queue_takes_as_many_as_its_depth(queue: GoalQueue[str], depth: int, waiting: int) -> None:
    for i in range(waiting):
        queue.push(str(i), 0, 'queue')
    full = f'[queue full] {waiting} of {depth} goals wait'
    assert queue.refusal(9, 'queue', depth) == (full if waiting >= depth else None)
    assert len(queue) == waiting


@pytest.mark.parametrize(('priority', 'waiting', 'preempted'), [
    (4, [], None), (5, [], []), (6, [], []),
    (5, [('low', 0)], ['low']), (5, [('high', 6)], None), (6, [('high', 6)], ['high']),
    (4, [('low', 0)], None), (7, [('low', 0), ('high', 6)], ['low', 'high']),
])
def test_preempt_takes_the_place_of_all_that_are_not_higher(
        queue: GoalQueue[str], priority: int, waiting: list[tuple[str, int]],
        preempted: list[str] | None) -> None:
    for item, other in waiting:
        queue.push(item, other, 'queue')
    refusal = queue.refusal(priority, 'preempt', 1)
    if preempted is None:
        assert refusal == '[busy] a goal of higher priority is running or waiting'
        return
    assert refusal is None
    # What waited is out and what runs is told apart: it may end by itself before it is ended.
    assert queue.push('new', priority, 'preempt') == (preempted, 'running')
    assert queue.running == 'running'  # until it has ended
    queue.finish('running')
    assert queue.start() == 'new'
    assert len(queue) == 0


def test_what_should_have_been_refused_waits_behind_higher_priorities(queue: GoalQueue[str]) -> None:
    """Another goal may come between the look and the push."""
    queue.push('high', 9, 'queue')
    assert queue.push('low', 1, 'preempt') == ([], None)
    queue.finish('running')
    assert queue.start() == 'high'


def test_waiting_goals_can_be_taken_out(queue: GoalQueue[str]) -> None:
    queue.push('a', 0, 'queue')
    queue.push('b', 0, 'queue')
    assert queue.take(lambda item: item == 'b') == 'b'
    assert queue.take(lambda item: item == 'running') is None
    assert queue.drain() == ['a']
    assert len(queue) == 0
    assert queue.ahead('a') == 0
