# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Perplexity over windows of a text."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
import math
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tinychat_core.errors import InvalidParameterError


class Scorer(Protocol):
    """What perplexity needs of an engine."""

    context_length: int

    def score(self, tokens: Sequence[int]) -> npt.NDArray[np.float32]:
        """Return logits [n, vocab] after each of tokens [n]."""


def windows(tokens: Sequence[int], size: int) -> list[Sequence[int]]:
    """
    Cut tokens into windows of `size` that do not overlap; a shorter rest is left out, as is common.

    Raises InvalidParameterError where there is not a single window.
    """
    if size < 2:
        raise InvalidParameterError('a window needs at least 2 tokens')
    if len(tokens) < size:
        raise InvalidParameterError(f'the text has {len(tokens)} tokens, fewer than one window of {size}')
    return [tokens[i:i + size] for i in range(0, len(tokens) - size + 1, size)]


def perplexity(scorer: Scorer, parts: Sequence[Sequence[int]]) -> Iterator[tuple[float, int]]:
    """Yield after each window (perplexity so far, tokens predicted so far); logits are judged in double precision."""
    loss, count = 0.0, 0
    for part in parts:
        if len(part) > scorer.context_length:
            raise InvalidParameterError(f'a window of {len(part)} tokens exceeds the context of '
                                        f'{scorer.context_length}')
        logits = scorer.score(part)[:-1]
        targets = np.asarray(part[1:])
        highest = logits.max(axis=1, keepdims=True)
        logits -= highest  # in place: a window's logits can be hundreds of megabytes
        picked = logits[np.arange(len(targets)), targets].astype(np.float64)
        np.exp(logits, out=logits)
        loss += float((np.log(logits.sum(axis=1, dtype=np.float64)) - picked).sum())
        count += len(targets)
        yield math.exp(loss / count), count
