# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Pieces are joined, numbered and closed once, without ROS."""

from __future__ import annotations

import pytest

from tinychat_ros import token_stream
from tinychat_ros.token_stream import Piece, TokenStream


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return a clock that the test sets."""
    now = [100.0]
    monkeypatch.setattr(token_stream, 'monotonic', lambda: now[0])
    return now


def test_what_comes_within_the_period_is_joined(clock) -> None:
    sent: list[Piece] = []
    stream = TokenStream(sent.append, 0.02)
    pushed = [('a', 100.0), ('b', 100.01), ('c', 100.019), ('d', 100.021)]
    for count, (text, at) in enumerate(pushed, start=1):
        clock[0] = at
        stream.push(text, count)
    stream.close(4, 'stop')
    assert [(piece.index, piece.delta, piece.new_tokens) for piece in sent] == [
        (0, 'a', 1), (1, 'bcd', 4), (2, '', 4)]
    assert sent[-1] == Piece(2, 4, '', True, 'stop')


def test_a_period_of_zero_sends_every_token(clock) -> None:
    sent: list[Piece] = []
    stream = TokenStream(sent.append, 0.0)
    for count, text in enumerate('abc', start=1):
        stream.push(text, count)
    assert [piece.delta for piece in sent] == ['a', 'b', 'c']


def test_a_stream_is_closed_once(clock) -> None:
    sent: list[Piece] = []
    stream = TokenStream(sent.append, 0.0)
    stream.close(0, 'aborted', 3)
    stream.close(0, 'stop')
    assert sent == [Piece(0, 0, '', True, 'aborted', 3)]
