# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Whole sentences of an answer that arrives in pieces, for a node that speaks. Knows nothing of ROS."""

from __future__ import annotations

import re

# These end a sentence wherever they stand: Chinese, Japanese, Hindi, Urdu, Khmer, Burmese, Amharic.
_ALONE = '。！？｡।॥۔។။።'
# These end one before white space, with the quotation marks and brackets that belong to it.
_BEFORE_SPACE = '.!?…؟։'
_CLOSING = '"\'”’»)]*_」』）'
_CLOSE = re.escape(_CLOSING)
# An end, once it is certain that nothing more belongs to it; the group is what the next sentence begins with.
_END = re.compile(f'\n|[{_ALONE}]+[{_CLOSE}]*(?=[^{_ALONE}{_CLOSE}])|[{_BEFORE_SPACE}]+[{_CLOSE}]*(?=\\s+(\\S))')
# A point after these ends nothing.
_ABBREVIATIONS = frozenset((
    'mr', 'mrs', 'ms', 'dr', 'prof', 'st', 'sr', 'jr', 'vs', 'etc', 'approx', 'fig', 'e.g', 'i.e', 'a.m', 'p.m', 'u.s',
    'z.b', 'd.h', 'u.a', 'bzw', 'ca', 'nr', 'str', 'usw', 'hr', 'fr',
    'mme', 'mlle', 'env', 'p.ex',
    'sra', 'ud', 'uds', 'p.ej',
    'sig', 'dott', 'ecc'))
_LAST_WORD = re.compile(r'(\S+)$')
_LIST_NUMBER = re.compile(r'\s*\d+$')


class Sentences:
    """
    Cuts a text that comes in pieces into sentences.

    A sentence ends with its line; with 。 and the like; with . ! ? … before white space. A point ends none behind an
    abbreviation, an initial or the number of a list, nor where the next word begins with a small letter. What says
    nothing (no letter, no digit) is left out.
    """

    def __init__(self) -> None:
        """Begin a text."""
        self._text = ''

    def push(self, piece: str) -> list[str]:
        """Return the sentences that are certain with this piece."""
        self._text += piece
        sentences, begin = [], 0
        for end in _END.finditer(self._text):
            if not self._is_end(self._text[begin:end.start()], end):
                continue
            sentences.append(self._text[begin:end.end()])
            begin = end.end()
        self._text = self._text[begin:]
        return _speakable(sentences)

    def finish(self) -> list[str]:
        """Return what is left: the text is over."""
        text, self._text = self._text, ''
        return _speakable([text])

    @staticmethod
    def _is_end(before: str, end: re.Match[str]) -> bool:
        """Tell whether a possible end is one, where `before` is the sentence up to it."""
        following = end[1]
        if following is None or end[0][0] not in '.…':
            return True
        last_word = _LAST_WORD.search(before)
        word = last_word[1].strip('("\'„“«').lower() if last_word else ''
        is_initial = len(word) == 1 and word.isalpha()
        return not (following.islower() or is_initial or word in _ABBREVIATIONS or _LIST_NUMBER.fullmatch(before))


def _speakable(texts: list[str]) -> list[str]:
    return [text.strip() for text in texts if any(character.isalnum() for character in text)]
