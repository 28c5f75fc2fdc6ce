# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""KV caches that know their tokens: a prefix that a prompt shares with a cache is not computed again."""
from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from threading import Lock

from tinychat_core._tinychat import Cache, CancelFlag
from tinychat_core.errors import InvalidParameterError
from tinychat_core.generation import check_prompt, Decoder, Generation, SHORTEST_PIECE
from tinychat_core.sampling import SamplingParams
from tinychat_core.text.tool_calls.grammar import AnswerParts
from tinychat_core.vision.image_rows import part_end


@dataclass
class CachedPrefix:
    """A KV cache, the tokens that it holds, and the answer that is being appended to it."""

    cache: Cache
    tokens: list[int] = field(default_factory=list)
    generation: Generation | None = None
    is_taken: bool = False  # an answer uses it; the answer may not have begun yet

    @property
    def is_busy(self) -> bool:
        """Whether an answer may still append tokens."""
        return self.is_taken and (self.generation is None or self.generation.finish_reason is None)

    def settle(self) -> None:
        """Record which tokens of the last answer the cache holds, and release the answer, which uses much memory."""
        self.is_taken = False
        if self.generation is not None:
            # After a pass that failed, the cache may end with wrong guesses.
            self.tokens = (self.tokens + self.generation.ids[:-1])[:self.cache.length]
            self.generation = None


class KVCachePool:
    """
    A bounded number of KV caches, each lent to one owner.

    When all caches are lent, the least recently used owner that is not being answered loses its cache. A cache keeps
    its tokens when its owner changes, so a system prompt that both owners share is not computed again. All methods may
    be called from any thread.
    """

    def __init__(self, engine: Decoder, size: int) -> None:
        """Lend up to `size` caches, at least one; each is created when it is first needed."""
        if size < 1:
            raise InvalidParameterError(f'there must be at least one KV cache, not {size}')
        self._engine = engine
        self._size = size
        self._lock = Lock()
        self._lent: OrderedDict[Hashable, CachedPrefix] = OrderedDict()  # the most recently used owner is last
        self._free: list[CachedPrefix] = []

    def generate(self, owner: Hashable, tokens: Sequence[int], params: SamplingParams,
                 cancel: CancelFlag | None = None, continues: bool = False,
                 parts: AnswerParts | None = None) -> Generation:
        """
        Return the answer to a whole prompt; take no more tokens from the owner's previous answer.

        Only the tokens after the longest prefix that the prompt shares with the owner's cache are computed, and always
        the last ones (see hold). `continues`, `parts`: as in Generation. Raises like Engine.generate, before a cache
        changes its owner.
        """
        check_prompt(self._engine, tokens)
        lent = self.hold(owner, tokens)
        kept = len(lent.tokens)
        lent.generation = Generation(self._engine, tokens[kept:], params, lent.cache, cancel, earlier=lent.tokens,
                                     continues=continues, parts=parts)
        lent.tokens = list(tokens)
        return lent.generation

    def hold(self, owner: Hashable, tokens: Sequence[int]) -> CachedPrefix:
        """
        Return the owner's cache with the longest prefix that it shares with a prompt, without the prompt's end.

        The last SHORTEST_PIECE tokens are always computed: fewer would have other numbers than in a prompt that is
        computed as a whole, and the same prompt would get another answer the second time. The owner appends tokens to
        the cache, and to the record of its tokens.
        """
        lent = self.take(owner, tokens)
        lent.settle()
        lent.is_taken = True
        end = part_end(tokens, 0, len(tokens) - SHORTEST_PIECE) if len(tokens) > SHORTEST_PIECE else 0
        kept = _common_prefix(lent.tokens, tokens[:end])
        lent.cache.truncate(kept)
        lent.tokens = [*tokens[:kept]]
        return lent

    def take(self, owner: Hashable, tokens: Sequence[int] = ()) -> CachedPrefix:
        """Return the owner's cache; if it has none, lease it the one with the longest common prefix."""
        with self._lock:
            lent = self._lent.pop(owner, None)
            if lent is None:
                if self._free:
                    lent = max(reversed(self._free), key=lambda free: _common_prefix(free.tokens, tokens))
                    self._free.remove(lent)
                elif len(self._lent) < self._size:
                    lent = CachedPrefix(self._engine.new_cache())
                else:
                    # If all caches are busy, the oldest one belongs to an answer that was abandoned.
                    oldest = next(iter(self._lent))
                    lent = self._lent.pop(next((each for each, cache in self._lent.items() if not cache.is_busy),
                                               oldest))
            lent.is_taken = True
            self._lent[owner] = lent
            return lent

    def settle(self, owner: Hashable) -> None:
        """Release the owner's answer; take no more tokens from it. Its tokens stay in the cache."""
        with self._lock:
            if owner in self._lent:
                self._lent[owner].settle()

    def release(self, owner: Hashable) -> None:
        """Take back the cache of an owner that needs it no longer, if it has one."""
        with self._lock:
            lent = self._lent.pop(owner, None)
            if lent is not None:
                lent.settle()
                lent.tokens = lent.tokens[:lent.cache.length]
                self._free.append(lent)

    def clear(self) -> None:
        """Discard all caches that no answer uses, because their content may be wrong or their memory is needed."""
        with self._lock:
            self._lent = OrderedDict((owner, lent) for owner, lent in self._lent.items() if lent.is_busy)
            self._free.clear()


def _common_prefix(some: Sequence[int], others: Sequence[int]) -> int:
    """Return the length of the common prefix."""
    for i, (one, other) in enumerate(zip(some, others, strict=False)):
        if one != other:
            return i
    return min(len(some), len(others))
