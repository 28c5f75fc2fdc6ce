# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Who runs next, in every case."""

from __future__ import annotations

from itertools import product

import pytest

from tinychat_core.serving.request_queue import Admission, RequestQueue
from tinychat_core.serving.requests import Refusal, RefusalReason

POLICIES = ('queue', 'reject', 'preempt')


@pytest.fixture
def queue() -> RequestQueue[str]:
    """Return a queue in which 'running' runs with priority 5."""
    queue: RequestQueue[str] = RequestQueue()
    queue.push('running', 5, 'queue')
    assert queue.start() == 'running'
    return queue


def refusal(queue: RequestQueue[str], priority: int, policy: str, depth: int) -> tuple[RefusalReason, str] | None:
    """Return why an item would not be accepted, or None."""
    try:
        queue.check(priority, Admission(policy, depth))
    except Refusal as refused:
        return refused.reason, str(refused)
    return None


def test_one_runs_at_a_time(queue: RequestQueue[str]) -> None:
    queue.push('next', 0, 'queue')
    assert queue.start() is None
    queue.finish('running')
    assert queue.start() == 'next'
    queue.finish('next')
    assert queue.start() is None
    assert queue.running == []


@pytest.mark.parametrize('priorities', list(product(range(3), repeat=4)))
def test_priority_then_arrival(queue: RequestQueue[str], priorities: tuple[int, ...]) -> None:
    for item, priority in zip('abcd', priorities, strict=True):
        queue.push(item, priority, 'queue')
    expected = [item for _, item in sorted(zip(priorities, 'abcd', strict=True), key=lambda entry: -entry[0])]
    assert [queue.ahead(item) for item in expected] == [1, 2, 3, 4]
    order = []
    for _ in range(4):
        queue.finish(queue.running[0])
        order.append(queue.start())
    assert order == expected


@pytest.mark.parametrize('policy', POLICIES)
def test_an_idle_queue_refuses_nothing_and_preempts_nothing(policy: str) -> None:
    queue: RequestQueue[str] = RequestQueue()
    assert refusal(queue, 0, policy, 1) is None
    assert queue.push('a', 0, policy) == ([], [])
    assert queue.ahead('a') == 0
    assert queue.start() == 'a'


@pytest.mark.parametrize('priority', [0, 5, 9])
def test_reject_refuses_whatever_the_priority(queue: RequestQueue[str], priority: int) -> None:
    assert refusal(queue, priority, 'reject', 9) == (RefusalReason.BUSY, '[busy] another request is running')


@pytest.mark.parametrize(('depth', 'waiting'), [(1, 0), (1, 1), (1, 2), (3, 2), (3, 3)])
def test_a_queue_takes_as_many_as_its_depth(queue: RequestQueue[str], depth: int, waiting: int) -> None:
    for i in range(waiting):
        queue.push(str(i), 0, 'queue')
    full = (RefusalReason.QUEUE_FULL, f'[queue full] {waiting} of {depth} requests wait')
    assert refusal(queue, 9, 'queue', depth) == (full if waiting >= depth else None)
    assert len(queue) == waiting


@pytest.mark.parametrize(('priority', 'waiting', 'preempted'), [
    (4, [], None), (5, [], []), (6, [], []),
    (5, [('low', 0)], ['low']), (5, [('high', 6)], None), (6, [('high', 6)], ['high']),
    (4, [('low', 0)], None), (7, [('low', 0), ('high', 6)], ['low', 'high']),
])
def test_preempt_takes_the_place_of_all_that_are_not_higher(
        queue: RequestQueue[str], priority: int, waiting: list[tuple[str, int]],
        preempted: list[str] | None) -> None:
    for item, other in waiting:
        queue.push(item, other, 'queue')
    refused = refusal(queue, priority, 'preempt', 1)
    if preempted is None:
        assert refused == (RefusalReason.BUSY, '[busy] a request of higher priority is running or waiting')
        return
    assert refused is None
    # What waited is out and what runs is told apart: it may end by itself before it is ended.
    assert queue.push('new', priority, 'preempt') == (preempted, ['running'])
    assert queue.running == ['running']  # until it has ended
    queue.finish('running')
    assert queue.start() == 'new'
    assert len(queue) == 0


def test_what_should_have_been_refused_waits_behind_higher_priorities(queue: RequestQueue[str]) -> None:
    """Another goal may come between the look and the push."""
    queue.push('high', 9, 'queue')
    assert queue.push('low', 1, 'preempt') == ([], [])
    queue.finish('running')
    assert queue.start() == 'high'


def test_waiting_goals_can_be_taken_out(queue: RequestQueue[str]) -> None:
    queue.push('a', 0, 'queue')
    queue.push('b', 0, 'queue')
    assert queue.take(lambda item: item == 'b') == 'b'
    assert queue.take(lambda item: item == 'running') is None
    assert queue.drain() == ['a']
    assert len(queue) == 0
    assert queue.ahead('a') == 0


def test_as_many_run_as_have_a_place() -> None:
    queue: RequestQueue[str] = RequestQueue(2)
    for item in ('a', 'b', 'c'):
        assert refusal(queue, 0, 'queue', 1) is None
        queue.push(item, 0, 'queue')
        queue.start()
    assert (queue.running, len(queue), queue.ahead('c')) == (['a', 'b'], 1, 2)
    assert refusal(queue, 0, 'queue', 1) == (RefusalReason.QUEUE_FULL, '[queue full] 1 of 1 requests wait')
    queue.finish('a')
    assert queue.start() == 'c'
    assert queue.running == ['b', 'c']


def test_a_newer_item_preempts_the_oldest_of_the_lowest_priority() -> None:
    queue: RequestQueue[str] = RequestQueue(3)
    for item, priority in (('a', 3), ('b', 0), ('c', 0)):
        assert queue.push(item, priority, 'preempt') == ([], [])
        queue.start()
    assert queue.push('d', 3, 'preempt') == ([], ['b'])
    # One after the other: what waits for its place has one, and what ends is not ended again.
    assert queue.push('e', 3, 'preempt') == ([], ['c'])
    assert queue.push('f', 3, 'preempt') == ([], ['a'])
    assert queue.push('g', 3, 'preempt') == (['d'], [])
    assert refusal(queue, 2, 'preempt', 1) == (RefusalReason.BUSY,
                                               '[busy] a request of higher priority is running or waiting')
    for item in ('a', 'b', 'c'):
        queue.finish(item)
    assert [queue.start() for _ in range(4)] == ['e', 'f', 'g', None]


def test_items_with_a_name_in_common_run_one_after_the_other() -> None:
    queue: RequestQueue[str] = RequestQueue(3)
    for item, names in (('a', {'x'}), ('b', {'x', 'y'}), ('c', {'y'}), ('d', set()), ('e', {'x'})):
        queue.push(item, 0, 'queue', frozenset(names))
    assert [queue.start() for _ in range(4)] == ['a', 'c', 'd', None]
    queue.finish('a')
    assert queue.start() == 'e'
    queue.finish('c')
    queue.finish('e')
    assert queue.start() == 'b'


@pytest.mark.parametrize('policy', POLICIES)
def test_a_name_in_use_counts_as_no_place(policy: str) -> None:
    queue: RequestQueue[str] = RequestQueue(3)
    for item, name in (('a', 'x'), ('b', 'y')):
        queue.push(item, 5, 'queue', frozenset({name}))
        queue.start()
    names = frozenset({'x'})
    if policy == 'reject':
        with pytest.raises(Refusal):
            queue.check(5, Admission(policy, 1), names)
        return
    queue.check(5, Admission(policy, 1), names)
    assert queue.push('c', 5, policy, names) == ([], ['a'] if policy == 'preempt' else [])
    assert queue.start() is None
    queue.finish('a')
    assert queue.start() == 'c'
