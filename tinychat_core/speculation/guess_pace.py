# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Decides how many tokens to guess, from their probability and the cost of one more token in a pass."""
from __future__ import annotations

from enum import IntEnum
import math


class Kind(IntEnum):
    """The source of a guess; lookups are distinguished by the length of the match."""

    FORCED = 0  # a structure allows hardly anything else
    DRAFT = 1
    SHORT_MATCH = 2
    MATCH = 3
    LONG_MATCH = 4
    VERY_LONG_MATCH = 5

    @classmethod
    def of_match(cls, length: int) -> Kind:
        """Return the kind of a lookup that has matched this many tokens."""
        return (cls.SHORT_MATCH if length < 3 else cls.MATCH if length < 5 else
                cls.LONG_MATCH if length < 10 else cls.VERY_LONG_MATCH)


# The chance that a guessed token is right, before any was seen.
_PRIOR = {Kind.FORCED: 0.95, Kind.DRAFT: 0.7, Kind.SHORT_MATCH: 0.2, Kind.MATCH: 0.4, Kind.LONG_MATCH: 0.7,
          Kind.VERY_LONG_MATCH: 0.85}
_PRIOR_WEIGHT = 4.0  # tokens
_MEMORY = 0.9  # factor of the old counts after each guess
_FORGETTING = 0.98  # the same if a guess would not save time: so it is tried again later


class GuessPace:
    """The probabilities that guesses of an answer are right, learned from its earlier guesses."""

    def __init__(self) -> None:
        """Begin with the priors."""
        self._right = dict.fromkeys(Kind, 0.0)
        self._wrong = dict.fromkeys(Kind, 0.0)

    def chance(self, kind: Kind) -> float:
        """Return the probability that a token of such a guess is right if the tokens before it are."""
        right = self._right[kind] + _PRIOR[kind] * _PRIOR_WEIGHT
        return right / (self._right[kind] + self._wrong[kind] + _PRIOR_WEIGHT)

    def length(self, kind: Kind, row_cost: float, sequences: int = 1, guess_cost: float = 0.0) -> int:
        """
        Return how many tokens to guess. After a 0, guesses become a little more likely.

        `row_cost`: the time that one more token adds to a pass, in passes of one token. `sequences`: how many share the
        pass; the more there are, the less time a token takes without guesses. `guess_cost`: the time to find a token,
        in the same unit. A guess saves time if its probability is at least its cost divided by the cost of a token.
        """
        per_token = (1.0 + row_cost * (sequences - 1)) / sequences
        needed = min((row_cost + guess_cost) / per_token, 0.99)
        length = int(math.log(needed) / math.log(min(self.chance(kind), 0.995))) if needed > 0 else 99
        if not length:
            self._right[kind] *= _FORGETTING
            self._wrong[kind] *= _FORGETTING
        return length

    def note(self, kind: Kind, guessed: int, right: int) -> None:
        """Record how many guessed tokens were right. Tokens after the first wrong one do not count."""
        self._right[kind] = self._right[kind] * _MEMORY + right
        self._wrong[kind] = self._wrong[kind] * _MEMORY + (right < guessed)
