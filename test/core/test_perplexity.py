# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Perplexity from logits whose probabilities are known."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from tinychat_core.errors import InvalidParameterError
from tinychat_core.perplexity import perplexity, windows


class Certain:
    """Gives the token that follows by one a probability of one half, and the others the rest."""

    context_length = 8
    vocab = 5

    def score(self, tokens: Sequence[int]) -> np.ndarray:
        logits = np.full((len(tokens), self.vocab), 100.0, dtype=np.float32)
        for i, token in enumerate(tokens):
            logits[i, (token + 1) % self.vocab] += np.float32(np.log(self.vocab - 1))
        return logits


def test_perplexity_is_the_inverse_of_the_geometric_mean_probability() -> None:
    *_, (value, count) = perplexity(Certain(), [[0, 1, 2], [3, 4, 4]])
    # Three tokens at one half, one (4 after 4) at one eighth.
    assert count == 4
    assert value == pytest.approx((2 * 2 * 2 * 8) ** (1 / 4), rel=1e-6)


def test_windows_do_not_overlap_and_leave_the_rest() -> None:
    assert windows(range(11), 4) == [range(0, 4), range(4, 8)]


@pytest.mark.parametrize(('count', 'size'), [(3, 4), (0, 2), (9, 1)])
def test_a_text_without_a_window_is_refused(count: int, size: int) -> None:
    with pytest.raises(InvalidParameterError):
        windows(range(count), size)


def test_a_window_beyond_the_context_is_refused() -> None:
    with pytest.raises(InvalidParameterError, match='context of 8'):
        next(perplexity(Certain(), [list(range(9))]))
