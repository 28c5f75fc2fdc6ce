# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The thread that computes. Requests start and end between two forward passes; all running requests share each pass."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from threading import Condition, Thread
from time import perf_counter

from tinychat_core.engine import CancelFlag
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
        of a request that starts. `ended` is called with each result, in the thread, after the request was
        removed from `running`.
        """
        self._run = run
        self._begin = begin
        self._ended = ended
        self._pace = pace
        self._queue: RequestQueue[ChatHandle] = RequestQueue(parallel)
        self._changed = Condition()  # guards the two below
        self._started: deque[ChatHandle] = deque()  # running requests without an answer yet
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

    def close(self) -> None:
        """End the thread; no request may run or wait any more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()
        del self._run, self._begin, self._ended  # breaks a reference cycle with the owner, which holds a model

    def _start(self) -> None:
        with self._changed:
            while (handle := self._queue.start()) is not None:
                self._started.append(handle)
            self._changed.notify()

    def _compute(self) -> None:
        answers: list[Computation] = []  # the one that has waited longest to read its prompt is first
        while self._await_work(answers):
            self._pass(answers)
            for answer in [*answers]:
                if answer.ending is not None and answer.is_ready:
                    answers.remove(answer)
                    self._close(answer)

    def _pass(self, answers: list[Computation]) -> None:
        """Compute the next tokens of the answers that are ready."""
        ready = [answer for answer in answers if answer.is_ready]
        for answer in ready:
            answer.end_if_canceled()
            answer.work()
        decoding = [answer for answer in ready if answer.ending is None and not answer.is_reading]
        planned = [(answer, step) for answer in decoding if (step := answer.next_step(sequences=len(decoding)))]
        is_decoding = bool(planned)
        piece = 0
        # max() returns the first of equals.
        reader = max((answer for answer in ready if answer.is_reading), default=None,
                     key=lambda answer: answer.handle.request.priority)
        if reader is not None:
            answers.remove(reader)
            answers.append(reader)
            step = reader.next_step(self._pace.piece(is_decoding))
            if step is not None:
                piece = len(step.tokens)
                planned.append((reader, step))
        if not planned:
            return
        # Only a pass with a single answer can be interrupted; passes of several answers are short.
        cancel = planned[0][0].handle.cancel_flag if len(planned) == 1 else None
        start = perf_counter()
        try:
            drawn = self._run([step for _, step in planned], cancel)
        except BaseException as error:
            for answer, _ in planned:
                answer.fail(error)
            return
        if is_decoding:
            self._pace.note(perf_counter() - start, piece)
        for (answer, step), tokens in zip(planned, drawn, strict=True):
            answer.take(step, tokens)

    def _close(self, answer: Computation) -> None:
        result = answer.close()
        self._queue.finish(answer.handle)
        self._start()
        self._ended(answer.handle, result)

    def _await_work(self, answers: list[Computation]) -> bool:
        """Wait until an answer is ready, and add those of requests that have started. Return False at the end."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._started or self._is_closed or
                                       any(answer.is_ready for answer in answers))
                started = [*self._started]
                self._started.clear()
                if self._is_closed and not started and not answers:
                    return False
            for handle in started:
                answers.append(self._begin(handle))
                answers[-1].start(self._tell_of_change)
            if any(answer.is_ready for answer in answers):
                return True

    def _tell_of_change(self) -> None:
        with self._changed:
            self._changed.notify()
