# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Guesses the next tokens of one answer, from its structure, its text or a draft model, if that saves time."""
from __future__ import annotations

from collections.abc import Iterable, Sequence

from tinychat_core.speculation.draft import Draft
from tinychat_core.speculation.guess_pace import GuessPace, Kind
from tinychat_core.speculation.prompt_lookup import PromptLookup
from tinychat_core.speculation.row_cost import RowCost


class Guesser:
    """The guesses of one answer."""

    def __init__(self, tokens: Iterable[int], row_cost: RowCost, draft: Draft | None = None) -> None:
        """Begin with the prompt; `row_cost` is measured by the engine."""
        self._text = PromptLookup(tokens)
        self._draft = draft
        self._row_cost = row_cost
        self._pace = GuessPace()
        self._kind = Kind.MATCH  # of the last guess
        self._looked_up = Kind.MATCH

    def append(self, token: int) -> None:
        """Add the next token of the answer."""
        self._text.append(token)

    def guess(self, most: int, sequences: int) -> Sequence[int]:
        """Return up to `most` next tokens, for a pass that `sequences` share."""
        guess = self.lookup(most, sequences)
        return self._paying(guess, self._looked_up, sequences) if guess else ()

    def lookup(self, most: int, sequences: int = 1) -> Sequence[int]:
        """Return up to `most` next tokens: from the text if they save time, otherwise from the draft model."""
        guess, length = self._text.guess(most)
        self._looked_up = Kind.of_match(length)
        if self._draft is None or (guess and self._length(self._looked_up, sequences)):
            return guess
        drafted = self._draft.guess(self._text.tokens, min(most, self._length(Kind.DRAFT, sequences)))
        if drafted:
            self._looked_up = Kind.DRAFT
        return drafted or guess

    def of_structure(self, guess: Sequence[int], is_forced: bool, sequences: int) -> Sequence[int]:
        """Shorten a guess to the part that saves time; a structure forces it, or allows it after the last `lookup`."""
        return self._paying(guess, Kind.FORCED if is_forced else self._looked_up, sequences) if guess else ()

    def note(self, guessed: int, right: int) -> None:
        """Record how many tokens of the last guess were right."""
        self._pace.note(self._kind, guessed, right)

    def _paying(self, guess: Sequence[int], kind: Kind, sequences: int) -> Sequence[int]:
        self._kind = kind
        # The time for a draft model's guess is already spent.
        return guess if kind is Kind.DRAFT else guess[:self._length(kind, sequences)]

    def _length(self, kind: Kind, sequences: int) -> int:
        cost = 0.0
        if kind is Kind.DRAFT and self._draft is not None and self._row_cost.seconds:
            cost = self._draft.seconds / self._row_cost.seconds
        return self._pace.length(kind, self._row_cost.per_token, sequences, cost)
