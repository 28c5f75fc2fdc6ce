# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Sentences: where one ends, however the text was cut into pieces."""

from __future__ import annotations

import pytest

from tinychat_ros.sentences import Sentences

# Sentences are apart by |.
TEXTS = [
    'I go to the kitchen.| Then I pick up the cup!| Is that right?',
    'It is 3.5 m long, at 10.30 a.m. exactly.| Yes.',
    'Mr. Smith and Dr. J. R. Müller are here.| They wait.',
    'Robots, e.g. arms, i.e. manipulators, etc. are useful.',
    '"Stop!"| he said.| (Really.)| Then he left.',
    'Wait...| I think so.| …| Well… maybe.',
    'First line\n| second line\n|\n| - third',
    'Do this:\n| 1. Open the door.| 2. Close it.',
    '我去厨房。|然后我拿杯子！|好吗？',
    '「はい。」|わかりました。',
    'मैं रसोई में जाता हूँ।| ठीक है।',
    'هل أنت هنا؟| نعم.',
    'Ich fahre z.B. nach Köln.| Bis bald!',
    'No end',
    '¿Dónde está?| Está allí.',
    'The IP is 10.0.0.1, the file a.txt.| Done',
]


def cut(pieces: list[str]) -> list[str]:
    sentences = Sentences()
    return [sentence for piece in pieces for sentence in sentences.push(piece)] + sentences.finish()


@pytest.mark.parametrize('text', TEXTS)
def test_sentences(text: str) -> None:
    expected = [part.strip() for part in text.split('|') if any(c.isalnum() for c in part)]
    assert cut([text.replace('|', '')]) == expected


@pytest.mark.parametrize('text', TEXTS)
def test_the_pieces_do_not_matter(text: str) -> None:
    text = text.replace('|', '')
    for i in range(len(text)):
        assert cut([text[:i], text[i:]]) == cut([*text]) == cut([text])


def test_a_sentence_is_told_as_soon_as_the_next_one_begins() -> None:
    sentences = Sentences()
    assert [sentences.push(piece) for piece in ('I go.', ' ', 'T', 'hen')] == [[], [], ['I go.'], []]
    assert sentences.finish() == ['Then']
