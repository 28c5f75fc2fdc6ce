# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
One request on its way through the backends.

Until the first token, backends are asked one after the other (or, to hedge, two at once); after it, no other backend
is asked. The way ends with exactly one result.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
import logging
import math
from time import monotonic
from typing import Any

from tinychat_core.errors import InvalidParameterError, NoImageError, one_line
from tinychat_core.remote.answer_so_far import AnswerSoFar
from tinychat_core.remote.backend import Backend, Dialogue
from tinychat_core.remote.deadline import end, SECONDS_TO_END, TimeIsOver, within
from tinychat_core.remote.outcomes import NotAnswered, Piece, Step
from tinychat_core.remote.shared_image import loaded
from tinychat_core.serving.chat_handle import ChatHandle
from tinychat_core.serving.requests import ChatRequest
from tinychat_core.serving.results import ChatResult, Ending, ErrorCode, LOCAL, Prefill, Queued
from tinychat_core.speech.spoken_text import SpokenText
from tinychat_core.text.tool_calls.parser import Delta

_LOG = logging.getLogger(__name__)

# Errors of the local model, before its first token, that another backend may not have.
_LOCAL_FAILURES = (ErrorCode.BACKEND_FAILED, ErrorCode.OUT_OF_MEMORY, ErrorCode.PROMPT_TOO_LONG,
                   ErrorCode.INVALID_GOAL)


class _LocalFailed(NotAnswered):

    def __init__(self, result: ChatResult) -> None:
        super().__init__(result.error_message)
        self.result = result


class _Attempt:
    """A backend that was asked: its steps, and the task that waits for the first piece."""

    def __init__(self, backend: Backend, steps: AsyncGenerator[Step, None]) -> None:
        self.backend = backend
        self.steps = steps
        self.task: asyncio.Task[Piece | ChatResult] | None = None


class Goal:
    """A request that was accepted. All methods belong to the event loop."""

    def __init__(self, handle: ChatHandle, candidates: Callable[[Goal], Iterator[Backend]],
                 dialogue: Callable[[], Dialogue], hedge_delay: float | None = None,
                 remote_limit: float | None = None, continuing: Backend | None = None,
                 on_begin: Callable[[], None] = lambda: None) -> None:
        """
        Take an accepted request.

        `candidates` returns the backends in the order in which to ask them; each is looked up when its turn comes.
        `dialogue` returns all messages. `hedge_delay`: after how long the next backend is asked as well, None for
        never [s]. `remote_limit`: how long all remote backends together may take to the first token, None for no
        limit [s]. `continuing`: who continues an answer that has broken off. `on_begin` is called once, when the
        first backend has started.
        """
        self.handle = handle
        self.answer = AnswerSoFar(handle.accepted_at)
        self.is_over = False  # it has its result
        self._candidates = candidates
        self._dialogue = dialogue
        self._hedge_delay = hedge_delay
        self._remote_limit = remote_limit
        self._remote_end: float | None = None
        self._continuing = continuing
        self._on_begin = on_begin
        self._attempts: list[_Attempt] = []
        self._reasons: list[str] = []
        self._is_continued = False
        # A local request that loses against another backend must leave nothing in the conversation.
        self._splits_conversation = hedge_delay is not None and bool(handle.request.conversation_id)
        self._local_result: ChatResult | None = None

    @property
    def has_begun(self) -> bool:
        """Whether a backend has started."""
        return self.answer.begun_at is not None

    @property
    def keeps_turn(self) -> bool:
        """Whether the turn of the conversation must be recorded: no local request with this conversation has run."""
        is_elsewhere = self.answer.served_by not in ('', LOCAL)
        return is_elsewhere or self._is_continued or self._splits_conversation

    @property
    def is_trying(self) -> bool:
        """Whether a backend is being asked, or answers."""
        return bool(self._attempts)

    async def run(self) -> ChatResult:
        """Ask the backends, and return the result."""
        try:
            winner, first = await self._first()
            if winner is None:
                return self._not_answered()
            return await self._rest(winner, first)
        except InvalidParameterError as error:  # a dialogue that is none
            return self.answer.cut_off(Ending.aborted(ErrorCode.INVALID_GOAL, str(error)))
        except NoImageError as error:
            return self.answer.cut_off(Ending.aborted(ErrorCode.NO_IMAGE, str(error)))
        finally:
            await self._close(self._attempts)

    # --- until the first token ------------------------------------------------------------------------------

    async def _first(self) -> tuple[_Attempt | None, Piece | ChatResult | None]:
        """Return the backend with the first token; None if no backend has one."""
        candidates = self._candidates(self)
        is_exhausted = not self._ask_next(candidates)
        while running := [attempt.task for attempt in self._attempts if attempt.task is not None]:
            delay = self._hedge_delay if len(running) == 1 and not is_exhausted else None
            done, _ = await asyncio.wait(running, timeout=delay, return_when=asyncio.FIRST_COMPLETED)
            if not done:  # the time to hedge
                is_exhausted = not self._ask_next(candidates)
                continue
            for attempt in [each for each in self._attempts if each.task in done]:
                assert attempt.task is not None
                try:
                    first = attempt.task.result()
                except NotAnswered as error:
                    self._attempts.remove(attempt)
                    self._note(attempt, error)
                    continue
                attempt.task = None
                losers = [each for each in self._attempts if each is not attempt]
                self._attempts = [attempt]
                await self._close(losers)
                return attempt, first
            if not is_exhausted:
                is_exhausted = not self._ask_next(candidates)
        return None, None

    def _ask_next(self, candidates: Iterator[Backend]) -> bool:
        """Ask the next backend; return whether there was one."""
        backend = next((each for each in candidates if each.name == LOCAL or self._time_left() > 0), None)
        if backend is None:
            return False
        is_local = backend.name == LOCAL
        dialogue = () if is_local and not self._splits_conversation else self._dialogue()
        if not is_local:
            self._begin()
            if not self._attempts:
                self.handle.emit(Prefill(0.0))
            if self._remote_end is None and self._remote_limit is not None:
                self._remote_end = monotonic() + self._remote_limit
        attempt = _Attempt(backend, backend.answer(self.handle.request, dialogue))
        self._attempts.append(attempt)
        attempt.task = asyncio.ensure_future(self._first_of(attempt, () if is_local else dialogue))
        return True

    async def _first_of(self, attempt: _Attempt, dialogue: Sequence[Mapping[str, Any]]) -> Piece | ChatResult:
        backend = attempt.backend
        limit = backend.first_token_timeout
        if limit is None:
            return await self._until_piece(attempt)
        await loaded(dialogue)  # a slow camera is not the server's fault
        seconds = min(limit, self._time_left())
        try:
            return await within(seconds, self._until_piece(attempt))
        except TimeIsOver:
            error = f'has no token after {seconds:.3g} s'
            if seconds == limit:
                backend.failed(error)
            raise NotAnswered(error) from None

    def _time_left(self) -> float:
        return math.inf if self._remote_end is None else self._remote_end - monotonic()

    async def _until_piece(self, attempt: _Attempt) -> Piece | ChatResult:
        async for step in attempt.steps:
            if isinstance(step, Prefill):
                self._begin()
            if isinstance(step, (Queued, Prefill)):
                if len(self._attempts) == 1:
                    self.handle.emit(step)
                continue
            if isinstance(step, Piece) and step.new_tokens == 0:
                continue  # the last piece of a local answer without any token
            if isinstance(step, ChatResult) and step.error_code in _LOCAL_FAILURES:
                raise _LocalFailed(step)
            return step
        raise NotAnswered('ended without a result')

    def _begin(self) -> None:
        if not self.has_begun:
            self.answer.begin()
            if self.handle.request.wants_sentences:
                self.handle.stream.speech = SpokenText()
            self._on_begin()

    def _note(self, attempt: _Attempt, error: NotAnswered) -> None:
        if isinstance(error, _LocalFailed):
            self._local_result = error.result
        self._reasons.append(f'{attempt.backend.name} {error}')

    def _not_answered(self) -> ChatResult:
        if self._local_result is not None:
            return self.answer.ended(self._local_result)
        reasons = '; '.join(self._reasons) or 'none is available'
        return self.answer.cut_off(Ending.aborted(ErrorCode.REMOTE_FAILED, one_line(f'no backend answered: {reasons}')))

    # --- from the first token -------------------------------------------------------------------------------

    async def _rest(self, attempt: _Attempt, step: Piece | ChatResult | Queued | Prefill | None) -> ChatResult:
        backend = attempt.backend
        self.answer.served_by = backend.name
        while True:
            if isinstance(step, ChatResult):
                return self.answer.ended(step)
            if isinstance(step, Piece):
                self._push(step)
            try:
                step = await within(backend.stall_timeout, _next(attempt.steps))
            except TimeIsOver:
                error = f'has stalled for {backend.stall_timeout:g} s'
                backend.failed(error)
                return await self._broken(backend, error)
            except NotAnswered as broken:
                return await self._broken(backend, str(broken))

    def _push(self, piece: Piece) -> None:
        self.answer.add(piece)
        stream, new_tokens = self.handle.stream, self.answer.new_tokens
        for logprob in piece.logprobs[:-1]:
            stream.push(Delta(), new_tokens, (), logprob)
        stream.push(piece.delta, new_tokens, piece.tool_calls, piece.logprobs[-1] if piece.logprobs else None)

    async def _broken(self, backend: Backend, error: str) -> ChatResult:
        """Continue a broken answer on this machine, or end it."""
        ending = Ending.aborted(ErrorCode.REMOTE_FAILED, one_line(
            f'{backend.name} {error}, after {self.answer.new_tokens} tokens'))
        request = self._continued()
        if self._continuing is None or request is None:
            return self.answer.cut_off(ending)
        _LOG.warning('%s; this machine continues the answer', ending.message)
        await self._close(self._attempts)
        self.answer.hand_over()
        self._is_continued = True
        attempt = _Attempt(self._continuing, self._continuing.answer(request, ()))
        self._attempts = [attempt]
        return await self._rest(attempt, None)

    def _continued(self) -> ChatRequest | None:
        """Return a request that continues the text so far; None if that is not possible."""
        request, answer = self.handle.request, self.answer
        left = request.params.max_new_tokens - answer.new_tokens
        if not answer.text or answer.tool_calls or request.params.json_schema or left < 1:
            return None
        messages = [*self._dialogue(), {'role': 'assistant', 'content': answer.text}]
        return replace(request, prompt='', messages=messages, system_prompt='', default_system_prompt='',
                       conversation_id='', params=replace(request.params, max_new_tokens=left))

    @staticmethod
    async def _close(attempts: list[_Attempt]) -> None:
        for attempt in attempts:
            if attempt.task is not None:
                await end(attempt.task)
            with suppress(TimeIsOver, RuntimeError):  # it may still be running
                await within(SECONDS_TO_END, attempt.steps.aclose())


async def _next(steps: AsyncGenerator[Step, None]) -> Step:
    try:
        return await steps.__anext__()
    except StopAsyncIteration:
        raise NotAnswered('ended without a result') from None
