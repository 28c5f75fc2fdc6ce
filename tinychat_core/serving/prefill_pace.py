# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Limits how much of a prompt a pass reads while other answers decode, so that no stream stops for a long prompt."""

from __future__ import annotations

from tinychat_core.generation import SHORTEST_PIECE

STRETCH = 2.0  # a pass with a piece of a prompt may take this many times as long as one without
_SMOOTHING = 0.2
_GROWTH = 1.5  # maximum growth from one piece to the next
_TILE = 16  # tokens that the CPU multiplies together; longer pieces are multiples of it


class PrefillPace:
    """Adapts the length of a piece to the times of the passes so far."""

    def __init__(self, longest: int, shortest: int = SHORTEST_PIECE) -> None:
        """Begin with the shortest piece [tokens], at least SHORTEST_PIECE; none is longer than `longest`."""
        self._shortest, self._longest = shortest, longest
        self._piece = float(shortest)
        self._decoding = 0.0  # [s] of a pass that only decodes
        self._per_token = 0.0  # [s] that each token of the last piece has added to its pass

    def piece(self, is_decoding: bool) -> int:
        """Return how many tokens of a prompt the next pass may read."""
        if not is_decoding:
            return self._longest
        if self._per_token:
            # The time per token falls with the length of a piece, so pieces start short and grow.
            fitting = (STRETCH - 1.0) * self._decoding / self._per_token
            self._piece = min(max(min(fitting, self._piece * _GROWTH), self._shortest), self._longest)
        piece = int(self._piece)
        return piece if piece < _TILE else piece // _TILE * _TILE

    def note(self, seconds: float, tokens: int) -> None:
        """Record the time of a pass that has decoded, and has read `tokens` tokens of a prompt."""
        if not tokens:
            self._decoding += (seconds - self._decoding) * (_SMOOTHING if self._decoding else 1.0)
        elif self._decoding and tokens >= SHORTEST_PIECE:  # a shorter prompt says little about longer pieces
            self._per_token = max(seconds - self._decoding, 0.0) / tokens
