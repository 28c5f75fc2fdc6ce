# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""ClientWatcher: when an item has lost all of them, without ROS."""

from __future__ import annotations

from tinychat_ros.client_watcher import ClientWatcher


def watch(there: set[bytes], *looks: set[bytes]) -> list[list[str]]:
    """Return what each look finds lost; `there` are the clients when the goal comes."""
    watcher: ClientWatcher[str] = ClientWatcher()
    watcher.watch('goal', there)
    return [watcher.look(look) for look in looks]


def test_it_is_lost_once_when_nobody_is_left() -> None:
    assert watch({b'a'}, {b'a'}, {b'a'}, set(), set()) == [[], [], ['goal'], []]


def test_it_is_kept_while_one_of_them_is_there() -> None:
    assert watch({b'a', b'b'}, {b'a', b'b'}, {b'b'}, {b'a'}) == [[], [], []]


def test_who_came_later_does_not_count() -> None:
    assert watch({b'a'}, {b'a'}, {b'a', b'b'}, {b'b'}) == [[], [], ['goal']]


def test_who_is_not_known_yet_cannot_be_gone() -> None:
    assert watch(set(), set(), {b'a'}, set()) == [[], [], ['goal']]


def test_who_goes_before_the_first_look_is_missed() -> None:
    assert watch({b'a'}, set(), set()) == [[], ['goal']]


def test_who_is_found_after_his_goal_counts() -> None:
    assert watch({b'a'}, {b'b'}, {b'b'}, set()) == [[], [], ['goal']]


def test_what_is_forgotten_is_not_lost() -> None:
    watcher: ClientWatcher[str] = ClientWatcher()
    watcher.watch('goal', {b'a'})
    watcher.look({b'a'})
    watcher.forget('goal')
    watcher.forget('goal')
    assert (watcher.look(set()), len(watcher)) == ([], 0)
