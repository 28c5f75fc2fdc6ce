# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""KV caches that know their tokens: what a prompt shares with the last one in a cache is not computed again."""
from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from threading import Lock

from tinychat_core._tinychat import CancelFlag
from tinychat_core.errors import InvalidParameterError
from tinychat_core.generation import check_prompt, Decoder, Generation
from tinychat_core.sampling import SamplingParams


class PrefixCache:
    """A KV cache, and the tokens that it holds; it works on one answer at a time."""

    def __init__(self, engine: Decoder) -> None:
        """Begin empty."""
        self._engine = engine
        self._cache = engine.new_cache()
        self._tokens: list[int] = []
        self._answer: Generation | None = None

    def answer(self, tokens: Sequence[int], params: SamplingParams, cancel: CancelFlag | None = None,
               continues: bool = False) -> Generation:
        """
        Return the answer to a whole prompt; the answer before must not be asked for more tokens.

        Of the prompt only what comes after the longest common beginning with what the cache holds is computed, at least
        its last token. `continues`: as Generation's. Raises like Engine.generate.
        """
        self.settle()
        kept = _common_prefix(self._tokens, tokens[:-1])
        self._cache.truncate(kept)
        self._tokens = list(tokens[:kept])
        self._answer = Generation(self._engine, tokens[kept:], params, self._cache, cancel, earlier=self._tokens,
                                  continues=continues)
        self._tokens = list(tokens)
        return self._answer

    def settle(self) -> None:
        """Note which tokens of the last answer the cache holds, and let go of the answer: it keeps much memory."""
        if self._answer is not None:
            self._tokens = (self._tokens + self._answer.ids)[:self._cache.length]
            self._answer = None


class CachePool:
    """
    A bounded number of caches, each lent to one owner; where there is none left, who came last longest ago loses his.

    What such a cache holds stays in it: a system prompt that the new owner shares with the old one is there already.
    All methods may be called from any thread.
    """

    def __init__(self, engine: Decoder, size: int) -> None:
        """Lend up to `size` caches, at least one; each is made when it is first needed."""
        if size < 1:
            raise InvalidParameterError(f'there must be at least one KV cache, not {size}')
        self._engine = engine
        self._size = size
        self._lock = Lock()
        self._lent: OrderedDict[Hashable, PrefixCache] = OrderedDict()  # who came last is last
        self._free: list[PrefixCache] = []

    def answer(self, owner: Hashable, tokens: Sequence[int], params: SamplingParams,
               cancel: CancelFlag | None = None, continues: bool = False) -> Generation:
        """Return the answer to a whole prompt; raises like Engine.generate, before a cache changes hands."""
        check_prompt(self._engine, tokens)
        return self.take(owner).answer(tokens, params, cancel, continues)

    def take(self, owner: Hashable) -> PrefixCache:
        """Return the owner's cache, or another one that is now his."""
        with self._lock:
            cache = self._lent.pop(owner, None)
            if cache is None:
                if self._free:
                    cache = self._free.pop()
                elif len(self._lent) < self._size:
                    cache = PrefixCache(self._engine)
                else:
                    cache = self._lent.popitem(last=False)[1]
            self._lent[owner] = cache
            return cache

    def release(self, owner: Hashable) -> None:
        """Take back the cache of an owner who will not come again, where he has one."""
        with self._lock:
            cache = self._lent.pop(owner, None)
            if cache is not None:
                self._free.append(cache)

    def settle(self) -> None:
        """Let go of all answers; none must be asked for more tokens."""
        with self._lock:
            for cache in (*self._lent.values(), *self._free):
                cache.settle()

    def clear(self) -> None:
        """Give up all caches: what they hold is in doubt, or their memory is needed."""
        with self._lock:
            self._lent.clear()
            self._free.clear()


def _common_prefix(some: Sequence[int], others: Sequence[int]) -> int:
    """Return how many tokens both begin with."""
    for i, (one, other) in enumerate(zip(some, others, strict=False)):
        if one != other:
            return i
    return min(len(some), len(others))
