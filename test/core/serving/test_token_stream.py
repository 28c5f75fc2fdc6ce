# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Text is joined into pieces, which are numbered, and carry the sentences that they complete."""

from __future__ import annotations

import pytest

from tinychat_core.serving import token_stream
from tinychat_core.serving.results import FinishReason, TextDelta
from tinychat_core.serving.token_stream import TokenStream
from tinychat_core.speech.spoken_text import SpokenText
from tinychat_core.text.tool_calls.parser import CallDelta, Delta
from tinychat_core.text.tool_calls.tools import ToolCall


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return a clock that the test sets."""
    now = [100.0]
    monkeypatch.setattr(token_stream, 'monotonic', lambda: now[0])
    return now


def test_what_comes_within_the_period_is_joined(clock: list[float]) -> None:
    sent: list[TextDelta] = []
    stream = TokenStream(sent.append, 0.02)
    for count, (text, at) in enumerate([('a', 100.0), ('b', 100.01), ('c', 100.019), ('d', 100.021)], start=1):
        clock[0] = at
        stream.push(Delta(text), count)
    assert sent == [TextDelta(0, 1, 'a'), TextDelta(1, 4, 'bcd')]
    assert stream.close(4, FinishReason.STOP) == TextDelta(2, 4, '')


def test_a_period_of_zero_sends_every_token(clock: list[float]) -> None:
    sent: list[TextDelta] = []
    stream = TokenStream(sent.append, 0.0)
    for count, text in enumerate('abc', start=1):
        stream.push(Delta(text), count)
    assert [piece.text for piece in sent] == ['a', 'b', 'c']


def test_what_is_held_back_is_the_last_piece(clock: list[float]) -> None:
    sent: list[TextDelta] = []
    stream = TokenStream(sent.append, 1.0)
    stream.push(Delta('a'), 1)
    stream.push(Delta('b'), 2)
    assert stream.close(2, FinishReason.ABORTED) == TextDelta(1, 2, 'b')


@pytest.mark.parametrize(('reason', 'last'), [(FinishReason.STOP, ('I wait',)), (FinishReason.LENGTH, ('I wait',)),
                                              (FinishReason.TOOL_CALLS, ('I wait',)),
                                              (FinishReason.CANCELED, ()), (FinishReason.ABORTED, ())])
def test_pieces_carry_sentences_and_an_interrupted_answer_no_half_one(
        clock: list[float], reason: FinishReason, last: tuple[str, ...]) -> None:
    sent: list[TextDelta] = []
    stream = TokenStream(sent.append, 0.0)
    stream.speech = SpokenText()
    for count, text in enumerate(('I go', '. ', 'I wait'), start=1):
        stream.push(Delta(text), count)
    assert [piece.sentences for piece in sent] == [(), (), ('I go.',)]
    assert stream.close(3, reason).sentences == last


def test_thoughts_and_calls_are_joined_like_text(clock: list[float]) -> None:
    sent: list[TextDelta] = []
    stream = TokenStream(sent.append, 1.0)
    call, begun, ended = ToolCall('a', 'go', '{}'), CallDelta(0, '', 'a', 'go'), CallDelta(0, '{}', is_complete=True)
    stream.push(Delta(thought='I '), 1)
    stream.push(Delta(thought='must.'), 2)
    stream.push(Delta(), 3)
    stream.push(Delta('x', calls=(begun,)), 4)
    stream.push(Delta(calls=(ended,)), 5, [call])
    assert sent == [TextDelta(0, 1, '', thought='I ')]
    assert stream.close(5, FinishReason.TOOL_CALLS) == TextDelta(1, 5, 'x', (), 'must.', (begun, ended), (call,))
