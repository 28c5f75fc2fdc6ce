# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The probabilities of given continuations of a prompt that a KV cache holds; nothing is generated."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice

import numpy as np
import numpy.typing as npt

from tinychat_core._tinychat import Cache, CancelFlag
from tinychat_core.engine import Engine, ForwardBatch, Logits
from tinychat_core.errors import BackendFailedError, PromptTooLongError
from tinychat_core.loading.system_memory import available_memory

# Continuations in one forward pass. Each needs a copy of the prompt's KV cache, which soon costs more than it saves.
MAX_CACHES = 4
MEMORY_SHARE = 4  # the copies take at most this part of the free memory

Floats = npt.NDArray[np.float64]


def log_softmax(logits: Logits) -> Floats:
    """Return the natural logarithms of the probabilities [..., vocab] of logits [..., vocab]."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    total = np.log(np.exp(shifted).sum(axis=-1, keepdims=True, dtype=np.float64))
    found: Floats = shifted - total
    return found


def continuation_logprobs(engine: Engine, cache: Cache, logits: Logits, continuations: Sequence[Sequence[int]],
                          cancel: CancelFlag | None = None) -> Floats:
    """
    Return the log probability [n] of each continuation: the sum over its tokens, each after all those before it.

    `cache` holds the prompt, and holds it again at the end; `logits` [vocab] are those after it. The first tokens cost
    nothing more. The others are computed together: each distinct beginning is a sequence of one ForwardBatch, over a
    copy of the cache. If the free memory has no room for as many copies, several batches follow each other. Raises like
    Engine.prefill, and PromptTooLongError if a continuation does not fit into the context.
    """
    length = cache.length
    longest = max(map(len, continuations)) - 1
    if length + longest > engine.context_length:
        raise PromptTooLongError(f'the prompt of {length} tokens and an option of {longest + 1} do not fit into the '
                                 f'context of {engine.context_length}')
    after_prompt = log_softmax(logits)
    sums = np.array([after_prompt[tokens[0]] for tokens in continuations])
    beginnings = sorted({tuple(tokens[:-1]) for tokens in continuations if len(tokens) > 1})
    if not beginnings:
        return sums
    caches = [cache, *_copies(engine, cache, len(beginnings) - 1)]
    try:
        for group in _groups(beginnings, len(caches)):
            batch = ForwardBatch()
            for beginning, own in zip(group, caches, strict=False):
                batch.add_sequence(beginning, own, logits='all')
            rows = log_softmax(engine.forward(batch, cancel).logits)
            first = dict(zip(group, np.cumsum([0, *map(len, group)]), strict=False))
            for i, tokens in enumerate(continuations):
                row = first.get(tuple(tokens[:-1]))
                if row is not None and len(tokens) > 1:
                    sums[i] += sum(rows[row + j, token] for j, token in enumerate(tokens[1:]))
            for own in caches:
                own.truncate(length)
    finally:
        cache.truncate(min(length, cache.length))
    return sums


def _copies(engine: Engine, cache: Cache, wanted: int) -> list[Cache]:
    """Return copies of a cache, at most `wanted`; fewer if the memory has no room for them."""
    length = cache.length
    taken = engine.kv_cache_bytes if engine.backend == 'cuda' else (
        engine.kv_cache_bytes * (length + 1) // engine.context_length + 1)
    count = min(wanted, MAX_CACHES - 1, available_memory() // MEMORY_SHARE // taken)
    copies: list[Cache] = []
    with suppress(BackendFailedError):  # a device tells what it has only when it is asked
        for _ in range(count):
            copies.append(engine.new_cache())
    for copy in copies:
        copy.copy_prefix(cache, length)
    return copies


def _groups(beginnings: Sequence[tuple[int, ...]], size: int) -> Iterator[list[tuple[int, ...]]]:
    rest = iter(beginnings)
    while group := list(islice(rest, size)):
        yield group
