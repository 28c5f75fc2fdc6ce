# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Turns of a dialogue over one KV cache: what did not change since the last turn is not computed again."""
from __future__ import annotations

from collections.abc import Sequence

from tinychat_core._tinychat import CancelFlag
from tinychat_core.generation import Decoder, Generation
from tinychat_core.sampling import SamplingParams


class Conversation:
    """
    A system prompt and turns; one question at a time.

    When the context is full, the oldest turns are left out, the system prompt stays. Of the context, room for
    the answer is kept free: max_new_tokens, but no more than a quarter.
    """

    def __init__(self, engine: Decoder, system_prompt: str = '') -> None:
        """Begin without turns; '' is the template's own system prompt, if it has one."""
        self._engine = engine
        self._system = [{'role': 'system', 'content': system_prompt}] if system_prompt else []
        self._turns: list[tuple[str, str]] = []
        self._cache = engine.new_cache()
        self._tokens: list[int] = []
        self._asked = ''
        self._answer: Generation | None = None
        self.dropped_turns = 0

    def ask(self, question: str, params: SamplingParams, cancel: CancelFlag | None = None) -> Generation:
        """
        Return the answer to the next question; the one before must not be asked for more tokens.

        What that one has given until now is its turn; where it gave nothing, it leaves none. `dropped_turns`
        then tells how many have been left out so far. Raises like Engine.generate, and then the question
        leaves no trace.
        """
        self._settle()
        tokens, dropped = self._fitting(question, params)
        kept = _common_prefix(self._tokens, tokens[:-1])
        self._cache.truncate(kept)
        self._tokens = tokens[:kept]
        answer = Generation(self._engine, tokens[kept:], params, self._cache, cancel, earlier=self._tokens)
        del self._turns[:dropped]
        self.dropped_turns += dropped
        self._tokens, self._asked, self._answer = tokens, question, answer
        return answer

    def _settle(self) -> None:
        """Take note of the last answer, and of the tokens that the cache holds since."""
        if self._answer is None:
            return
        self._tokens = (self._tokens + self._answer.ids)[:self._cache.length]
        if self._answer.text:
            self._turns.append((self._asked, self._answer.text))
        self._answer = None

    def _fitting(self, question: str, params: SamplingParams) -> tuple[list[int], int]:
        """Return the prompt's tokens and how many of the oldest turns they leave out."""
        context = self._engine.context_length
        room = min(params.max_new_tokens, context // 4)
        dropped = 0
        while True:
            dialogue = [*self._system]
            for asked, answered in self._turns[dropped:]:
                dialogue += [{'role': 'user', 'content': asked}, {'role': 'assistant', 'content': answered}]
            dialogue.append({'role': 'user', 'content': question})
            tokens = self._engine.tokenizer.encode_chat(dialogue)
            if dropped == len(self._turns) or len(tokens) + room <= context:
                return tokens, dropped
            dropped += 1


def _common_prefix(some: Sequence[int], others: Sequence[int]) -> int:
    """Return how many tokens both begin with."""
    for i, (one, other) in enumerate(zip(some, others, strict=False)):
        if one != other:
            return i
    return min(len(some), len(others))
