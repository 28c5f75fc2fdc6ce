# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Stop texts in a stream."""
from __future__ import annotations

from hypothesis import given, strategies as st

from tinychat_core.stop import StopText

LETTERS = st.text('ab', max_size=30)
STOPS = st.lists(st.text('ab', min_size=1, max_size=5), max_size=3)


def pushed(stop: list[str], pieces: list[str]) -> tuple[str, bool]:
    stream = StopText(stop)
    text = ''.join([stream.push(piece) for piece in pieces])
    return text + stream.finish(), stream.is_complete


def plain(stop: list[str], text: str) -> tuple[str, bool]:
    """Look for the first end of a stop text, and there for the longest one."""
    for end in range(len(text) + 1):
        ending = [len(s) for s in stop if text[:end].endswith(s)]
        if ending:
            return text[:end - max(ending)], True
    return text, False


@given(STOPS, LETTERS, st.lists(st.integers(1, 4), min_size=30, max_size=30))
def test_the_answer_does_not_depend_on_the_pieces(stop: list[str], text: str, sizes: list[int]) -> None:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(text[at:at + size])
        at += size
    assert pushed(stop, pieces) == plain(stop, text)


@given(STOPS, LETTERS)
def test_text_is_held_back_only_while_it_may_become_a_stop_text(stop: list[str], text: str) -> None:
    stream = StopText(stop)
    given_out = ''
    for i, letter in enumerate(text):
        given_out += stream.push(letter)
        if stream.is_complete:
            break
        held = text[len(given_out):i + 1]
        assert not held or any(s.startswith(held) for s in stop)
        longer = text[max(0, len(given_out) - 1):i + 1]
        assert longer == held or not any(s.startswith(longer) for s in stop)


def test_a_stop_text_across_pieces_is_no_part_of_the_answer() -> None:
    stream = StopText(['\nUser:'])
    assert [stream.push(piece) for piece in ['Yes.', '\n', 'Us', 'er', ': no']] == ['Yes.', '', '', '', '']
    assert stream.is_complete and stream.finish() == ''


def test_what_did_not_become_a_stop_text_comes_out_in_order() -> None:
    stream = StopText(['<end>'])
    assert [stream.push(piece) for piece in ['a<', 'en', '<e', 'x']] == ['a', '', '<en', '<ex']


def test_nothing_follows_a_stop_text() -> None:
    stream = StopText(['x'])
    assert (stream.push('ax'), stream.push('bc')) == ('a', '')


def test_without_stop_texts_everything_passes() -> None:
    stream = StopText([])
    assert stream.push('any') == 'any' and not stream.is_complete
