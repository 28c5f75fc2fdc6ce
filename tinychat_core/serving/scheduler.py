# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The thread that computes. Requests start and end between two forward passes; all running requests share each pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from threading import Condition, Thread
from time import perf_counter

from tinychat_core.engine import Canceled, CancelFlag
from tinychat_core.serving.chat_handle import ChatHandle
from tinychat_core.serving.computation import Computation
from tinychat_core.serving.prefill_pace import PrefillPace
from tinychat_core.serving.request_queue import Admission, RequestQueue
from tinychat_core.serving.results import ChatResult
from tinychat_core.step import Drawn, Step

Run = Callable[[Sequence[Step], CancelFlag | None], Sequence[Drawn]]


class Scheduler:
    """
    Waiting and running requests.

    A forward pass computes the next tokens of every running answer, and a piece of the prompt of one that has just
    started. Requests of a higher priority read their prompts first; those of equal priority take turns. All methods may
    be called from any thread.
    """

    def __init__(self, parallel: int, pace: PrefillPace, run: Run, begin: Callable[[ChatHandle], Computation],
                 ended: Callable[[ChatHandle, ChatResult], None]) -> None:
        """
        Start the thread, for at most `parallel` running requests.

        `run` computes steps in one forward pass; `pace` limits a prompt's tokens in it. `begin` returns the computation
        of a request that starts. `ended` is called with each result, in the thread that closes the answer, after the
        request was removed from `running`.
        """
        self._run = run
        self._begin = begin
        self._ended = ended
        self._pace = pace
        self._queue: RequestQueue[ChatHandle] = RequestQueue(parallel)
        self._changed = Condition()  # guards the four below
        self._answers: list[Computation] = []  # the one that has waited longest to read its prompt is first
        self._computed: list[Computation] = []  # those that the thread works on
        self._interrupt = CancelFlag()  # set when one of them is canceled
        self._is_closed = False
        self._thread = Thread(target=self._compute, name='scheduler', daemon=True)
        self._thread.start()

    @property
    def running(self) -> list[ChatHandle]:
        """The running requests."""
        return self._queue.running

    @property
    def waiting(self) -> int:
        """The number of waiting requests."""
        return len(self._queue)

    def check(self, priority: int, admission: Admission, exclusive: frozenset[str]) -> None:
        """Raise Refusal if such a request would not be accepted now; the arguments are those of RequestQueue."""
        self._queue.check(priority, admission, exclusive)

    def push(self, handle: ChatHandle, busy_policy: str) -> tuple[list[ChatHandle], list[ChatHandle]]:
        """Add a request, which waits until it can start; return what it preempts, as RequestQueue does."""
        request = handle.request
        preempted = self._queue.push(handle, request.priority, busy_policy, request.exclusive)
        self._start()
        return preempted

    def ahead(self, handle: ChatHandle) -> int:
        """Return how many requests run or wait before a waiting request; 0 for one that does not wait."""
        return self._queue.ahead(handle)

    def take(self, handle: ChatHandle) -> bool:
        """Remove a waiting request; return whether it was waiting."""
        return self._queue.take(lambda waiting: waiting is handle) is not None

    def drain(self) -> list[ChatHandle]:
        """Remove and return all waiting requests."""
        return self._queue.drain()

    def end(self, handle: ChatHandle) -> None:
        """Close the answer to a request that was canceled; a pass that computes it now is interrupted for that."""
        with self._changed:
            answer = next((answer for answer in self._answers if answer.handle is handle), None)
            if answer in self._computed:
                self._interrupt.set()
        if answer is not None:
            self._close_if_over(answer)

    def close(self) -> None:
        """End the thread; no request may run or wait any more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()
        del self._run, self._begin, self._ended  # breaks a reference cycle with the owner, which holds a model

    def _start(self) -> None:
        """Let requests run that can, from any thread: a prompt is prepared beside a pass of others."""
        while (handle := self._queue.start()) is not None:
            answer = self._begin(handle)
            with self._changed:
                self._answers.append(answer)
            answer.start(self._on_ready)

    def _compute(self) -> None:
        while self._await_work():
            for answer in self._answers_now():
                with self._in_hand(partial(_only, answer)) as ready:
                    for each in ready:
                        each.end_if_canceled()
                        each.work()
            self._pass()

    def _pass(self) -> None:
        """Compute the next tokens of the answers that are ready."""
        with self._in_hand(self._chosen) as chosen:
            decoding = [answer for answer in chosen if not answer.is_reading]
            planned = [(answer, step) for answer in decoding if (step := answer.next_step(sequences=len(decoding)))]
            is_decoding = bool(planned)
            piece = 0
            reader = next((answer for answer in chosen if answer.is_reading), None)
            if reader is not None:
                step = reader.next_step(self._pace.piece(is_decoding))
                if step is not None:
                    piece = len(step.tokens)
                    planned.append((reader, step))
            if not planned:
                return
            try:
                computed, seconds = self._run_together(planned)
            except BaseException as error:
                for answer, _ in planned:
                    answer.fail(error)
                return
            if is_decoding and len(computed) == len(planned):
                self._pace.note(seconds, piece)
            for answer, step, tokens in computed:
                answer.take(step, tokens)

    def _run_together(self, planned: Sequence[tuple[Computation, Step]]
                      ) -> tuple[list[tuple[Computation, Step, Drawn]], float]:
        """
        Compute steps in one pass; return them with what was drawn, and how long the pass took [s].

        When one of the answers is canceled, the pass is interrupted, that answer is closed, and the others are computed
        again without it. Their tokens are the same as in a pass that was not interrupted: nothing was drawn in it, the
        numbers of a sequence do not depend on the others, and the caches get their former lengths. No other answer
        joins them, so each answer can interrupt the others only once.
        """
        while planned:
            lengths = [step.cache.length for _, step in planned]
            start = perf_counter()
            try:
                drawn = self._run([step for _, step in planned], self._interrupt)
            except Canceled:
                if not self._interrupt.is_set():
                    raise
                for (_, step), length in zip(planned, lengths, strict=True):
                    step.cache.truncate(length)
                planned = self._without_canceled(planned)
                continue
            return ([(answer, step, tokens) for (answer, step), tokens in zip(planned, drawn, strict=True)],
                    perf_counter() - start)
        return [], 0.0

    def _without_canceled(self, planned: Sequence[tuple[Computation, Step]]) -> list[tuple[Computation, Step]]:
        """Close the answers that were canceled in a pass, and return the others."""
        with self._changed:
            self._interrupt.clear()
            canceled = [answer for answer, _ in planned if answer.handle.cancel_flag.is_set()]
            self._computed = [answer for answer in self._computed if answer not in canceled]
        for answer in canceled:
            self._close_if_over(answer)
        return [(answer, step) for answer, step in planned if answer not in canceled]

    def _chosen(self, ready: Sequence[Computation]) -> list[Computation]:
        """Return the answers of the next pass: those that decode, and one that reads its prompt."""
        # max() returns the first of equals.
        reader = max((answer for answer in ready if answer.is_reading), default=None,
                     key=lambda answer: answer.handle.request.priority)
        if reader is not None:
            self._answers.remove(reader)
            self._answers.append(reader)
        return [answer for answer in ready if answer.ending is None and (answer is reader or not answer.is_reading)]

    @contextmanager
    def _in_hand(self, choose: Callable[[Sequence[Computation]], list[Computation]]) -> Iterator[list[Computation]]:
        """Choose some of the answers that are ready. No other thread closes them in the block; then the ended close."""
        with self._changed:
            chosen = self._computed = choose([answer for answer in self._answers if answer.is_ready])
            self._interrupt.clear()
        try:
            yield chosen
        finally:
            with self._changed:
                self._computed = []
            for answer in chosen:
                self._close_if_over(answer)

    def _close_if_over(self, answer: Computation) -> None:
        """
        Close an answer that has ended or was canceled, if no thread works on it; each is closed once.

        Any thread does this. If only the scheduler's thread did, an answer that was canceled while it waited for its
        turn, or was prepared, would have to wait until a pass of other answers ends.
        """
        with self._changed:
            is_over = answer.ending is not None or answer.handle.cancel_flag.is_set()
            if not is_over or not answer.is_ready or answer in self._computed or answer not in self._answers:
                return
            self._answers.remove(answer)
        answer.end_if_canceled()
        result = answer.close()
        self._queue.finish(answer.handle)
        self._start()
        self._ended(answer.handle, result)

    def _answers_now(self) -> list[Computation]:
        with self._changed:
            return [*self._answers]

    def _await_work(self) -> bool:
        """Wait until an answer is ready. Return False at the end."""
        def is_any_ready() -> bool:
            return any(answer.is_ready for answer in self._answers)

        with self._changed:
            self._changed.wait_for(lambda: is_any_ready() or self._is_closed)
            return is_any_ready() or not self._is_closed

    def _on_ready(self, answer: Computation) -> None:
        self._close_if_over(answer)
        with self._changed:
            self._changed.notify()


def _only(wanted: Computation, ready: Sequence[Computation]) -> list[Computation]:
    return [answer for answer in ready if answer is wanted]
