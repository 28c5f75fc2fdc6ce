# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Vectors of texts: the mean of the final hidden states over the tokens of each text."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tinychat_core.engine import Engine, ForwardBatch
from tinychat_core.errors import PromptTooLongError
from tinychat_core.serving.chat_handle import ChatHandle
from tinychat_core.serving.computation import Computation
from tinychat_core.serving.conversations import Conversations
from tinychat_core.serving.kv_cache_pool import CachedPrefix
from tinychat_core.serving.prompt_size import check_size
from tinychat_core.serving.requests import EmbeddingRequest
from tinychat_core.serving.results import EmbeddingResult, Ending, FinishReason, Prefill

# More than a token of any text has on average, so that the end of a text that is cut off is not tokenized.
MAX_TOKEN_CHARACTERS = 32


class Embedding(Computation):
    """The answer to an EmbeddingRequest: a step for each part of a text."""

    def __init__(self, handle: ChatHandle, request: EmbeddingRequest, conversations: Conversations,
                 engine: Engine) -> None:
        """Take the request, without computing anything yet."""
        super().__init__(handle)
        self._request = request
        self._conversations = conversations
        self._engine = engine
        self._tokens: list[list[int]] = []
        self._sums: list[npt.NDArray[np.float64]] = []
        self._prefix: CachedPrefix | None = None

    def close(self) -> EmbeddingResult:
        """Release the cache, and return the vectors."""
        ending = self.ending
        assert ending is not None
        self._conversations.release(self, ending.has_failed)
        if ending.finish_reason is not FinishReason.STOP:
            return self.result(EmbeddingResult, ending)
        vectors = np.array([total / len(tokens) for total, tokens in zip(self._sums, self._tokens, strict=True)])
        if self._request.normalize:
            vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return self.result(EmbeddingResult, ending, prompt_tokens=sum(map(len, self._tokens)),
                           vectors=vectors.astype(np.float32))

    def _step(self) -> Ending | None:
        assert self._prefix is not None
        cache, texts = self._prefix.cache, self._request.texts
        if not self._tokens or cache.length == len(self._tokens[-1]):
            cache.truncate(0)
            self._tokens.append(self._encoded(len(self._tokens)))
            self._sums.append(np.zeros(()))
        tokens = self._tokens[-1]
        batch = ForwardBatch()
        batch.add_sequence(tokens[cache.length:cache.length + self._engine.longest_piece], cache, hidden='all')
        hidden = self._engine.forward(batch, self.handle.cancel_flag).hidden
        self._sums[-1] = self._sums[-1] + hidden.sum(axis=0, dtype=np.float64)
        is_complete = cache.length == len(tokens)
        if is_complete and len(self._tokens) == len(texts):
            return Ending(FinishReason.STOP)
        if is_complete:
            self.handle.emit(Prefill(len(self._tokens) / len(texts)))
        return None

    def _begin(self) -> None:
        self.handle.emit(Prefill(0.0))
        self._prefix = self._conversations.borrow(self)

    def _encoded(self, index: int) -> list[int]:
        """Return the tokens of a text."""
        text, context = self._request.texts[index], self._engine.context_length
        if self._request.truncates:
            return self._engine.tokenizer.encode(text[:context * MAX_TOKEN_CHARACTERS])[:context]
        check_size([text], self._engine, self.handle.cancel_flag)
        tokens = self._engine.tokenizer.encode(text)
        if len(tokens) > context:
            raise PromptTooLongError(f'text {index} has {len(tokens)} tokens, but the context has only {context}; '
                                     'shorten it')
        return tokens
