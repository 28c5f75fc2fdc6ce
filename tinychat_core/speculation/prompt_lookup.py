# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Guesses from the text itself: the same tokens are likely to be followed by what followed them before."""
from __future__ import annotations

from collections.abc import Iterable

PAIR = 2  # minimum number of equal tokens
LONGEST_MATCH = 16  # a longer match gives no more information
_RECENT = 8  # occurrences that are compared


class PromptLookup:
    """
    Prompt lookup decoding (Saxena, 2023): an index of all pairs of tokens of the prompt and the answer.

    Adding a token and looking up both take constant time.
    """

    def __init__(self, tokens: Iterable[int]) -> None:
        """Begin with the prompt, cached tokens included."""
        self.tokens: list[int] = []
        self._after: dict[tuple[int, int], list[int]] = {}  # the indices of the tokens that follow each pair
        for token in tokens:
            self.append(token)

    def append(self, token: int) -> None:
        """Add the next token."""
        tokens = self.tokens
        if len(tokens) >= PAIR:
            self._after.setdefault((tokens[-2], tokens[-1]), []).append(len(tokens))
        tokens.append(token)

    def guess(self, most: int) -> tuple[list[int], int]:
        """
        Return up to `most` next tokens, and the length of the match that they followed.

        The longest match is used; among equals, the latest. Without a match: no tokens, and 0.
        """
        tokens, end = self.tokens, len(self.tokens)
        if end < PAIR or most < 1:
            return [], 0
        best = length = 0
        for after in reversed(self._after.get((tokens[-2], tokens[-1]), [])[-_RECENT:]):
            matched = PAIR
            while matched < min(LONGEST_MATCH, after) and tokens[after - 1 - matched] == tokens[end - 1 - matched]:
                matched += 1
            if matched > length:
                best, length = after, matched
        if not length:
            return [], 0
        guess: list[int] = []
        for i in range(best, best + most):  # a match that reaches the end repeats itself
            guess.append(tokens[i] if i < end else guess[i - end])
        return guess, length
