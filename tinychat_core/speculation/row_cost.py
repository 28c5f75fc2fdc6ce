# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Measures how much time one more token adds to a forward pass that decodes."""
from __future__ import annotations

_BEFORE = 0.3  # the assumed cost until passes of different sizes were measured
_BEFORE_WEIGHT = 4.0  # passes
_LEAST, _MOST = 0.02, 1.0
_LONGEST = 20.0  # passes in a mean
_FORGETTING = 0.995  # per pass, so that a number of tokens that was slow once is tried again


class RowCost:
    """Compares the mean times of small and large passes; the weight of old passes decreases."""

    def __init__(self) -> None:
        """Begin without any pass."""
        self._means: dict[int, float] = {}  # [s] by the number of tokens
        self._weights: dict[int, float] = {}

    def note(self, seconds: float, tokens: int) -> None:
        """Record the time of a pass."""
        for size in self._weights:
            self._weights[size] *= _FORGETTING
        weight = self._weights[tokens] = min(self._weights.get(tokens, 0.0) + 1.0, _LONGEST)
        mean = self._means.get(tokens, seconds)
        self._means[tokens] = mean + (seconds - mean) / weight

    @property
    def per_token(self) -> float:
        """The time that one more token adds to a pass, in passes of one token."""
        if len(self._means) < 2:
            return _BEFORE
        few, many = min(self._means), max(self._means)
        slope = (self._means[many] - self._means[few]) / (many - few)
        one = self._means[few] - slope * (few - 1)
        measured = min(max(slope / one, _LEAST), _MOST) if one > 0 else _MOST
        weight = min(self._weights[few], self._weights[many])
        return (measured * weight + _BEFORE * _BEFORE_WEIGHT) / (weight + _BEFORE_WEIGHT)

    @property
    def seconds(self) -> float:
        """The time of a pass of one token [s]; 0 if no pass was measured."""
        if not self._means:
            return 0.0
        few = min(self._means)
        return self._means[few] / (1.0 + self.per_token * (few - 1))
