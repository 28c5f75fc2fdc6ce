# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Which of several options fits best: the probability of each as the beginning of the answer; nothing is generated."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from tinychat_core.engine import Engine
from tinychat_core.errors import InvalidParameterError
from tinychat_core.generation import check_prompt, piece_end
from tinychat_core.scoring import continuation_logprobs
from tinychat_core.serving.chat_handle import ChatHandle
from tinychat_core.serving.computation import Computation
from tinychat_core.serving.conversations import Conversations, Prepared
from tinychat_core.serving.interruptible import interruptible
from tinychat_core.serving.kv_cache_pool import CachedPrefix
from tinychat_core.serving.requests import DecisionRequest
from tinychat_core.serving.results import DecisionResult, Ending, FinishReason, Prefill
from tinychat_core.text.tokenizer import Tokenizer


class Decision(Computation):
    """The answer to a DecisionRequest: a step for each part of a long prompt, and one for all options."""

    def __init__(self, handle: ChatHandle, request: DecisionRequest, conversations: Conversations,
                 engine: Engine) -> None:
        """Claim the conversation, without computing anything yet."""
        super().__init__(handle)
        self._request = request
        self._conversations = conversations
        self._engine = engine
        self._prepared: Prepared | None = None
        self._options: list[list[int]] = []
        self._prefix: CachedPrefix | None = None
        self._reused = 0
        self._logprobs: Sequence[float] = ()
        conversations.claim(request.question.conversation_id)

    def close(self) -> DecisionResult:
        """Release the cache, and return the probabilities."""
        ending = self.ending
        assert ending is not None
        self.end(self._conversations, self._request.question, self._prepared, ending)
        result = self.result(DecisionResult, ending)
        if self._prepared is None or not len(self._logprobs):
            return result
        probabilities = _softmax(self._logprobs)
        entropy = -float(np.sum(probabilities * np.log(np.maximum(probabilities, 1e-300))))
        return self.result(DecisionResult, ending, prompt_tokens=len(self._prepared.tokens),
                           reused_tokens=self._reused, best=int(probabilities.argmax()),
                           probabilities=tuple(probabilities.tolist()), scores=tuple(self._logprobs), entropy=entropy)

    def _step(self) -> Ending | None:
        assert self._prepared is not None and self._prefix is not None
        prefix, tokens, cancel = self._prefix, self._prepared.tokens, self.handle.cancel_flag
        begin = prefix.cache.length
        end = piece_end(tokens, begin, self._engine.longest_piece)
        logits = self._engine.prefill(prefix.cache, tokens[begin:end], cancel)
        prefix.tokens = [*tokens[:end]]
        if end < len(tokens):
            self.handle.emit(Prefill(end / len(tokens)))
            return None
        logprobs = continuation_logprobs(self._engine, prefix.cache, logits, self._options, cancel)
        lengths = [len(option) if self._request.normalize_length else 1 for option in self._options]
        self._logprobs = (logprobs / lengths).tolist()
        return Ending(FinishReason.STOP)

    def _begin(self) -> None:
        handle, cancel = self.handle, self.handle.cancel_flag
        handle.emit(Prefill(0.0))
        self._prepared, self._options = interruptible(self._tokens, cancel)
        check_prompt(self._engine, self._prepared.tokens)
        self._prefix = self._conversations.hold(self._prepared)
        self._reused = self._prefix.cache.length

    def _tokens(self) -> tuple[Prepared, list[list[int]]]:
        """Return the tokens of the prompt and of each option."""
        request, tokenizer = self._request, self._engine.tokenizer
        prepared = self._conversations.prepare(request.question, self.handle.cancel_flag)
        lead = '' if request.question.is_continued else _space_before_answer(tokenizer)
        tokens = [*prepared.tokens]
        if prepared.parts.is_thinking and prepared.parts.thoughts is not None:
            # The prompt begins a thought, and an option is not one: the thought stays empty.
            tokens += tokenizer.encode(f'{prepared.parts.thoughts.closing}\n\n', parse_special=True, add_bos=False)
        return prepared.with_tokens(tokens), [tokenizer.encode_within(lead + option) for option in request.options]


def _softmax(scores: Sequence[float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    weights = np.exp(np.array(scores) - max(scores))
    probabilities: np.ndarray[tuple[int], np.dtype[np.float64]] = weights / weights.sum()
    return probabilities


def _space_before_answer(tokenizer: Tokenizer) -> str:
    """Return the white space that the chat template writes between the beginning of an answer and its text."""
    question = {'role': 'user', 'content': 'x'}
    with suppress(InvalidParameterError):  # templates that refuse such a dialogue
        before = tokenizer.encode_chat([question])
        whole = tokenizer.encode_chat([question, {'role': 'assistant', 'content': 'yes'}])
        if whole[:len(before)] == before:
            text = b''.join(map(tokenizer.bytes_of, whole[len(before):])).decode(errors='replace')
            lead = text.partition('yes')[0]
            return '' if lead.strip() else lead
    return ''
