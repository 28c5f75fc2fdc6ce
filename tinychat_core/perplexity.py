# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Perplexity over windows of a text."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
import math
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tinychat_core.errors import InvalidParameterError


class Scorer(Protocol):
    """The part of an engine that perplexity needs."""

    context_length: int

    def score(self, tokens: Sequence[int]) -> npt.NDArray[np.float32]:
        """Return logits [n, vocab] after each of tokens [n]."""


def windows(tokens: Sequence[int], size: int) -> list[Sequence[int]]:
    """
    Split tokens into windows of `size` without overlap; a shorter rest is dropped, as usual.

    Raises InvalidParameterError where there is no complete window.
    """
    if size < 2:
        raise InvalidParameterError('a window needs at least 2 tokens')
    if len(tokens) < size:
        raise InvalidParameterError(f'the text has {len(tokens)} tokens, fewer than one window of {size}')
    return [tokens[i:i + size] for i in range(0, len(tokens) - size + 1, size)]


def perplexity(scorer: Scorer, parts: Sequence[Sequence[int]]) -> Iterator[tuple[float, int]]:
    """Yield after each window (perplexity so far, tokens predicted so far), computed in double precision."""
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


@dataclass(frozen=True)
class Comparison:
    """Two models on the same tokens: perplexities, KL(reference | model) in nats, and agreement of the top token."""

    perplexity: float
    reference_perplexity: float
    kl_divergence: float
    top1_agreement: float
    tokens: int


def compare(scorer: Scorer, reference: Scorer, parts: Sequence[Sequence[int]]) -> Iterator[Comparison]:
    """Yield, after each window, the comparison of two models with the same vocabulary so far."""
    loss = reference_loss = divergence = 0.0
    agreed = count = 0
    for part in parts:
        if len(part) > min(scorer.context_length, reference.context_length):
            raise InvalidParameterError(f'a window of {len(part)} tokens exceeds a context of '
                                        f'{min(scorer.context_length, reference.context_length)}')
        found, expected = (_log_softmax(model.score(part)[:-1]) for model in (scorer, reference))
        if found.shape != expected.shape:
            raise InvalidParameterError(f'the vocabularies differ: {found.shape[1]} and {expected.shape[1]} tokens')
        rows, targets = np.arange(len(part) - 1), np.asarray(part[1:])
        loss -= float(found[rows, targets].sum(dtype=np.float64))
        reference_loss -= float(expected[rows, targets].sum(dtype=np.float64))
        divergence += float((np.exp(expected) * (expected - found)).sum(dtype=np.float64))
        agreed += int((found.argmax(axis=1) == expected.argmax(axis=1)).sum())
        count += len(targets)
        yield Comparison(math.exp(loss / count), math.exp(reference_loss / count), divergence / count, agreed / count,
                         count)


def _log_softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    shifted = logits - logits.max(axis=1, keepdims=True)
    total = np.exp(shifted).sum(axis=1, keepdims=True, dtype=np.float64)
    result: npt.NDArray[np.float32] = shifted - np.log(total).astype(np.float32)
    return result
