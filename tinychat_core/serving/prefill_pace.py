# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""How much of a prompt is read beside answers that are being decoded, so that no stream stops for a long prompt."""

from __future__ import annotations

from tinychat_core.generation import SHORTEST_PIECE

STRETCH = 2.0  # a pass with a piece of a prompt may take so many times as long as one without
_SMOOTHING = 0.2


class PrefillPace:
    """Adapts the length of a piece to the times of the passes so far."""

    def __init__(self, longest: int) -> None:
        """Begin with the shortest piece; none is longer than `longest` tokens."""
        self._longest = longest
        self._piece = float(SHORTEST_PIECE)
        self._decoding = 0.0  # [s] of a pass that only decodes

    def piece(self, is_decoding: bool) -> int:
        """Return how many tokens of a prompt the next pass may read."""
        return int(self._piece) if is_decoding else self._longest

    def note(self, seconds: float, tokens: int) -> None:
        """Take the time of a pass that has decoded beside `tokens` tokens of a prompt."""
        if not tokens:
            self._decoding += (seconds - self._decoding) * (_SMOOTHING if self._decoding else 1.0)
        elif self._decoding:
            change = STRETCH * self._decoding / seconds
            # A shorter last piece of a prompt says little about longer ones.
            if change < 1.0 or tokens >= int(self._piece):
                self._piece = min(max(self._piece * min(max(change, 0.5), 1.5), SHORTEST_PIECE), self._longest)
