# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""An answer arrives in pieces: how they are cut does not matter, nothing waits for long, and the work is linear."""

from __future__ import annotations

import sys
from typing import Any

from core.speech.speaking import spoken
from core.speech.test_markdown import CASES as MARKDOWN
from core.speech.test_sentences import TEXTS
from core.speech.test_thoughts import CASES as THOUGHTS
from hypothesis import given, settings, strategies as st
import pytest

from tinychat_core.speech.spoken_text import SpokenText

WHOLE = [*(text.replace('|', '') for texts in TEXTS.values() for text in texts),
         *(text for text, _ in MARKDOWN.values()), *THOUGHTS.values()]
PIECES = [
    '. ', 'Mr. ', 'No. ', '5', 'word ', 'The ', '**', '*', '_', '`', '```', '~~~', '\n', '\n\n', '- ', '1. ', '# ',
    '> ', '|', '[', ']', '(', ')', '](', 'http://a.b/c', '<', '>', '<b>', '</p>', '<!--', '-->', '<script>', '&',
    '&amp;', ';', '$', '$$', '\\', '\\(', '\\)', '\\[', '\\]', '!', '?', '…', '"', '“', '”', '«', '。', '！', '「',
    '」',
    '好', 'です', '😀', ' ', '\t', '<think>', '</think>', '<|channel|>', '<|message|>', '<|end|>', 'final', '[THINK]',
    '\x00', '\u200d', '=', '~', '#', ':)',
]


@pytest.mark.parametrize('text', WHOLE)
def test_the_pieces_do_not_matter(text: str) -> None:
    expected = spoken([text])
    assert spoken([*text]) == expected
    for i in range(0, len(text), 7):
        assert spoken([text[:i], text[i:]]) == expected


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=40))
def test_the_pieces_of_any_text_do_not_matter(pieces: list[str]) -> None:
    assert spoken(pieces) == spoken(''.join(pieces))


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_spoken(text: str) -> None:
    assert all(sentence == sentence.strip() and '\n' not in sentence and any(c.isalnum() for c in sentence)
               for sentence in spoken(text))


@pytest.mark.parametrize('pieces, when', [
    (['I go.', ' ', 'T', 'hen'], 2),
    (['Stop', '!', ' N', 'ow'], 2),
    (['我去。', '然', '后'], 1),
    (['- item', '\n', '- next'], 1),
    (['# Title', '\n', 'x'], 1),
    (['Is it ', '**so**?', ' Y', 'es'], 2),
    (['It is 5. ', 'T', 'he', ' end'], 3),  # the number of a list, were it not for the word
    (['See ', '[it](http://a.b).', ' T', 'hen'], 2),
    (['It costs $5.', ' ', 'T', 'hen'], 2),
])
def test_a_sentence_is_said_as_soon_as_its_end_is_sure(pieces: list[str], when: int) -> None:
    text = SpokenText()
    assert [bool(text.push(piece)) for piece in pieces].index(True) == when


def calls(text: str) -> int:
    """Return how many functions are called, Python's and C's, to speak a text that arrives character by character."""
    count = 0

    def see(frame: Any, event: str, _: Any) -> None:
        nonlocal count
        count += event in ('call', 'c_call')

    speech = SpokenText()
    sys.setprofile(see)
    try:
        for character in text:
            speech.push(character)
        speech.finish()
    finally:
        sys.setprofile(None)
    return count


def held(thing: Any, seen: set[int]) -> int:
    """Return how many characters and elements a thing keeps, in all that it consists of."""
    if id(thing) in seen:
        return 0
    seen.add(id(thing))
    if isinstance(thing, str):
        return len(thing)
    if isinstance(thing, (list, tuple)):
        return len(thing) + sum(held(element, seen) for element in thing)
    if type(thing).__module__.startswith('tinychat_core.speech') and hasattr(thing, '__dict__'):
        return sum(held(element, seen) for element in vars(thing).values())
    return 0


UNITS = [
    '.', '. ', 'a', 'a ', '。', '！', '…', '\n', ' ', '"', '*', '_a', '`', '```\n', '~', '#', '|', '- ', '1. ', '1',
    '[', '](', '](a ', '[^', '![', '<', '<a ', '</a', '<!--', '&a', '$', '$a ', '$$a\n', '\\', '\\(', '\\[a\n',
    'http://a', 'www.', 'a.a.', 'Mr. ', '😀', '<think>', '</think>', '<|channel|>', 'no. ', '(', '=',
]


@pytest.mark.parametrize('unit', UNITS)
def test_the_work_is_linear(unit: str) -> None:
    """Ten times the text takes ten times the calls, none of which sees more than what is kept: a bounded number."""
    short, long = (unit * 5000)[:500], (unit * 5000)[:5000]
    assert calls(long) < 12 * calls(short) + 1000
    speech = SpokenText()
    most = 0
    for number, character in enumerate(2 * long):
        speech.push(character)
        if number % 100 == 0:
            most = max(most, held(speech, set()))
    assert most < 5000
