# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Guesses of a smaller model with the same tokenizer (Leviathan et al. 2023; here the large model samples)."""
from __future__ import annotations

from collections.abc import Sequence
import logging
from typing import Any, Protocol

from tinychat_core._tinychat import Cache, Sampler
from tinychat_core.errors import TinyChatError
from tinychat_core.speculation.row_cost import RowCost

_LOG = logging.getLogger(__name__)


class DraftEngine(Protocol):
    """The methods of an Engine that a draft uses."""

    context_length: int
    vocab_size: int
    longest_piece: int
    row_cost: RowCost

    def new_cache(self) -> Cache:
        """Return an empty cache."""

    def prefill(self, cache: Cache, tokens: Sequence[int]) -> Any:
        """Append tokens [n] to the cache."""

    def sample(self, cache: Cache, tokens: Sequence[int], sampler: Sampler) -> int:
        """Append tokens [n] to the cache and return the next token."""


class Draft:
    """Guesses for one answer. If the engine fails, the answer continues without these guesses."""

    def __init__(self, engine: DraftEngine, vocab_size: int) -> None:
        """Begin with an empty cache; guesses are below `vocab_size`."""
        self._engine = engine
        self._vocab_size = min(vocab_size, engine.vocab_size)
        self._cache: Cache | None = None
        self._read: list[int] = []  # the tokens in the cache
        self._confirmed = 0  # the number of these tokens that are part of the text, not guesses
        self._sampler = Sampler(0)  # greedy, and without penalties it has no state
        self._has_failed = False

    @property
    def seconds(self) -> float:
        """The time per token [s]; 0 if none was computed."""
        return self._engine.row_cost.seconds

    def guess(self, tokens: Sequence[int], most: int) -> list[int]:
        """
        Return up to `most` tokens that follow `tokens`, the whole text so far.

        A long text is read in pieces, one per call. Nothing is guessed until all of it is read.
        """
        if self._has_failed or len(tokens) + most > self._engine.context_length:
            return []
        try:
            return self._guess(tokens, most)
        except (TinyChatError, MemoryError, ValueError) as error:
            self._has_failed = True
            self._cache = None
            _LOG.warning('an answer continues without its draft model: %s', error)
            return []

    def _guess(self, tokens: Sequence[int], most: int) -> list[int]:
        if self._cache is None:
            self._cache = self._engine.new_cache()
        # Keep the tokens of the text, which only grows, and right guesses; remove wrong guesses.
        kept, most_kept = self._confirmed, min(len(self._read), len(tokens) - 1)
        while kept < most_kept and self._read[kept] == tokens[kept]:
            kept += 1
        kept = min(kept, most_kept)
        self._cache.truncate(kept)
        del self._read[kept:]
        rest = tokens[kept:kept + self._engine.longest_piece]
        self._confirmed = kept
        if max(rest) >= self._engine.vocab_size:
            raise ValueError('a token is not in its vocabulary')
        if kept + len(rest) < len(tokens):
            self._engine.prefill(self._cache, rest)
            self._read += rest
            return []
        guess: list[int] = []
        while len(guess) < most:
            token = self._engine.sample(self._cache, rest, self._sampler)
            self._read += rest
            if token >= self._vocab_size:
                break
            guess.append(token)
            rest = [token]
        return guess
