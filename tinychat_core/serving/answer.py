# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The answer to one running request, from step to step."""

from __future__ import annotations

from time import monotonic

from tinychat_core.engine import Canceled
from tinychat_core.errors import TinyChatError
from tinychat_core.generation import Generation, Token
from tinychat_core.serving.chat_handle import ChatHandle
from tinychat_core.serving.computation import Computation
from tinychat_core.serving.conversations import Conversations, Prepared
from tinychat_core.serving.interruptible import interruptible
from tinychat_core.serving.requests import ChatRequest
from tinychat_core.serving.results import (
    ChatResult,
    Ending,
    ErrorCode,
    FinishReason,
    LOCAL,
    Prefill,
    TokenLogprob,
)
from tinychat_core.speech.spoken_text import SpokenText
from tinychat_core.step import Drawn, Step
from tinychat_core.text.tool_calls.parser import AnswerParser, Delta

LONGEST_WAIT = 0.005  # [s] that a pass waits for an answer's grammar


class Answer(Computation):
    """The answer to a request, from its prompt to its end."""

    def __init__(self, handle: ChatHandle, request: ChatRequest, conversations: Conversations) -> None:
        """Claim the conversation, without computing anything yet."""
        super().__init__(handle)
        self._request = request
        self._conversations = conversations
        self._prepared: Prepared | None = None
        self._generation: Generation | None = None
        self._dropped_turns = 0
        self._parser: AnswerParser | None = None
        self._new_tokens = 0
        self._logprobs: list[TokenLogprob] = []
        self._first = self._last = self._begun
        conversations.claim(request.conversation_id)

    @property
    def is_reading(self) -> bool:
        """Whether a part of the prompt has not been read yet."""
        return self.ending is None and self._generation is not None and self._generation.is_reading

    def next_step(self, longest: int | None = None, sequences: int = 1) -> Step | None:
        """Return the next step, like Generation.next_step; None if the answer has ended."""
        if self.ending is not None:
            return None
        assert self._generation is not None
        try:
            return self._generation.next_step(longest, sequences)
        except TinyChatError as error:
            self.fail(error)
            return None

    def take(self, step: Step, drawn: Drawn) -> None:
        """Process the sampled tokens of a step."""
        assert self._generation is not None
        if self._generation.has_structure:  # the grammar may be slow; other answers do not wait for it
            self.run_in_thread(lambda: self._take(step, drawn)).join(LONGEST_WAIT)
            return
        try:
            self._take(step, drawn)
        except BaseException as error:
            self.fail(error)

    def _take(self, step: Step, drawn: Drawn) -> None:
        assert self._generation is not None
        try:
            self._generation.take(step, drawn)
        finally:
            for token in self._generation.tokens():
                self._push_token(token)

    def fail(self, error: BaseException) -> None:
        """End with an error; a canceled answer keeps its text so far."""
        if isinstance(error, Canceled) and self._generation is not None and self._parser is not None:
            self._generation.cancel()
            self._push(self._parser.push(''.join(token.text for token in self._generation.tokens())))
        super().fail(error)

    def close(self) -> ChatResult:
        """Release the answer's resources, and return its result."""
        ending = self.ending
        assert ending is not None
        generation, self._generation = self._generation, None
        if self._parser is not None:
            self._push(self._parser.finish())
        calls = self._parser.calls if self._parser else ()
        self.end(self._conversations, self._request, self._prepared, ending, calls)
        return ChatResult(
            self._parser.text if self._parser else '', ending.finish_reason, ending.error_code, ending.message,
            prompt_tokens=generation.prompt_tokens if generation else 0,
            image_tokens=self._prepared.image_tokens if self._prepared and generation else 0,
            image_time=self._prepared.image_time if self._prepared else 0.0,
            reused_tokens=generation.reused_tokens if generation else 0,
            dropped_turns=self._dropped_turns, new_tokens=self._new_tokens,
            accepted_tokens=generation.accepted_tokens if generation else 0, seed=generation.seed if generation else 0,
            served_by=LOCAL if generation else '',
            queue_time=self._begun - self.handle.accepted_at,
            time_to_first_token=self._first - self._begun if self._new_tokens else 0.0,
            tokens_per_second=(self._new_tokens - 1) / (self._last - self._first) if self._last > self._first else 0.0,
            thoughts=self._parser.thoughts if self._parser else '',
            tool_calls=tuple(self._parser.calls) if self._parser else (), logprobs=tuple(self._logprobs))

    def _push_token(self, token: Token) -> None:
        assert self._generation is not None and self._parser is not None
        self._last = monotonic()
        if self._new_tokens == 0:
            self._first = self._last
        self._new_tokens += 1
        if token.logprob is not None:
            self._logprobs.append(token.logprob)
        self._push(self._parser.push(token.text), token.logprob)
        if token.finish_reason is None:
            return
        # If every call is complete, the closing marks may be missing.
        has_whole_calls = bool(self._parser.calls) and not self._parser.is_calling
        if not self._generation.is_complete and not has_whole_calls:
            self.ending = Ending.aborted(ErrorCode.STRUCTURE_INCOMPLETE, 'the answer was cut off before it matched')
        else:
            self.ending = Ending(FinishReason.TOOL_CALLS if self._parser.calls else FinishReason(token.finish_reason))

    def _push(self, delta: Delta, logprob: TokenLogprob | None = None) -> None:
        assert self._parser is not None
        complete = [self._parser.calls[call.index] for call in delta.calls if call.is_complete]
        self.handle.stream.push(delta, self._new_tokens, complete, logprob)

    def _begin(self) -> None:
        handle, request, cancel = self.handle, self._request, self.handle.cancel_flag
        handle.emit(Prefill(0.0))
        if cancel.is_set():
            raise Canceled('canceled')
        self._prepared = interruptible(lambda: self._conversations.prepare(request, cancel), cancel)
        self._generation, self._dropped_turns = self._conversations.begin(request, self._prepared, cancel)
        self._generation.on_prefill = lambda fraction: handle.emit(Prefill(fraction))
        self._parser = AnswerParser(self._prepared.parts)
        if request.wants_sentences:
            handle.stream.speech = SpokenText()
