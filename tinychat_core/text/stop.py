# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Stop texts in a stream: found across pieces, and never handed out in part."""
from __future__ import annotations

from collections.abc import Sequence


class StopText:
    """
    A stream of text that ends where the first stop text is complete.

    What it hands out does not depend on how the text was cut into pieces: of several stop texts the one that
    is complete first counts, and of those that are complete at the same character the longest. Text is held
    back only while it may still become a stop text (the automaton of Knuth, Morris and Pratt 1977, one for
    each stop text).
    """

    def __init__(self, stop: Sequence[str]) -> None:
        """Take the stop texts, none of them empty; none at all lets everything pass."""
        self._patterns = [(text, _failure(text)) for text in stop]
        self._matched = [0] * len(stop)
        self._held = ''
        self.is_complete = False

    def push(self, piece: str) -> str:
        """Return what is certain to belong to the answer; nothing once a stop text is complete."""
        if self.is_complete:
            return ''
        if not self._patterns:
            return piece
        text = self._held + piece
        for end in range(len(self._held) + 1, len(text) + 1):
            found = self._advance(text[end - 1])
            if found:
                self.is_complete = True
                self._held = ''
                return text[:end - found]
        safe = len(text) - max(self._matched)
        self._held = text[safe:]
        return text[:safe]

    def finish(self) -> str:
        """Return what was held back, which is no stop text: the stream is over, or something else comes between."""
        held, self._held = self._held, ''
        self._matched = [0] * len(self._patterns)
        return held

    def _advance(self, character: str) -> int:
        """Move every automaton on; return the length of the longest stop text that is complete, or 0."""
        found = 0
        for i, (pattern, failure) in enumerate(self._patterns):
            matched = self._matched[i]
            while matched and pattern[matched] != character:
                matched = failure[matched - 1]
            matched += pattern[matched] == character
            if matched == len(pattern):
                found = max(found, matched)
            self._matched[i] = matched
        return found


def _failure(pattern: str) -> list[int]:
    """Return for each prefix of the pattern the length of its longest proper prefix that ends it, too."""
    table = [0]
    for character in pattern[1:]:
        matched = table[-1]
        while matched and pattern[matched] != character:
            matched = table[matched - 1]
        table.append(matched + (pattern[matched] == character))
    return table
