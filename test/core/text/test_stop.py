# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Stop texts in a stream."""
from __future__ import annotations

from itertools import combinations, product

from tinychat_core.text.stop import StopText

STOPS = [''.join(letters) for length in (1, 2, 3, 4) for letters in product('ab', repeat=length)]
TEXTS = [''.join(letters) for letters in product('ab', repeat=7)]


def given_out(stop: tuple[str, ...], text: str) -> tuple[str, bool]:
    """Return what must be out when `text` is in: all but the end that may still become a stop text."""
    for end in range(1, len(text) + 1):
        ending = [len(s) for s in stop if text[:end].endswith(s)]
        if ending:
            return text[:end - max(ending)], True
    held = max(n for s in stop for n in range(len(s)) if text.endswith(s[:n]))
    return text[:len(text) - held], False


def test_every_letter_gives_out_what_it_makes_certain() -> None:
    for stop in [*combinations(STOPS, 1), *combinations(STOPS[:14], 2)]:
        for text in TEXTS:
            stream = StopText(stop)
            out = ''
            for i, letter in enumerate(text):
                out += stream.push(letter)
                assert (out, stream.is_complete) == given_out(stop, text[:i + 1]), (stop, text[:i + 1])


def test_the_answer_does_not_depend_on_the_pieces() -> None:
    for stop in combinations(STOPS[:14], 2):
        for text in TEXTS:
            stream = StopText(stop)
            out = stream.push(text[:3]) + stream.push(text[3:])
            assert (out, stream.is_complete) == given_out(stop, text)


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
