# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The thread that computes: it starts requests, computes their tokens one by one, and ends them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Condition, Thread

from tinychat_core.serving.chat_handle import ChatHandle
from tinychat_core.serving.computation import Computation
from tinychat_core.serving.request_queue import Admission, RequestQueue
from tinychat_core.serving.results import ChatResult

PARALLEL = 1  # answers that are computed at the same time; each step of an answer is a separate forward pass


class Scheduler:
    """
    Waiting and running requests; each running one gets one token per step.

    All methods may be called from any thread.
    """

    def __init__(self, begin: Callable[[ChatHandle], Computation],
                 ended: Callable[[ChatHandle, ChatResult], None]) -> None:
        """
        Start the thread.

        `begin` returns the computation of a request that starts. `ended` is called with each result, in the thread,
        after the request was removed from `running`.
        """
        self._begin = begin
        self._ended = ended
        self._queue: RequestQueue[ChatHandle] = RequestQueue(PARALLEL)
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

    def check(self, priority: int, admission: Admission) -> None:
        """Raise Refusal if a request of this priority would not be accepted now."""
        self._queue.check(priority, admission)

    def push(self, handle: ChatHandle, busy_policy: str) -> tuple[list[ChatHandle], list[ChatHandle]]:
        """Add a request, which waits until it can start; return what it preempts, as RequestQueue does."""
        preempted = self._queue.push(handle, handle.request.priority, busy_policy)
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
        del self._begin, self._ended  # breaks a reference cycle with the owner, which holds a model

    def _start(self) -> None:
        with self._changed:
            while (handle := self._queue.start()) is not None:
                self._started.append(handle)
            self._changed.notify()

    def _compute(self) -> None:
        answers: list[Computation] = []
        while self._await_work(answers):
            self._step(answers)

    def _step(self, answers: list[Computation]) -> None:
        """Compute a token of each answer, and close the answers that have ended."""
        for answer in [*answers]:
            ending = answer.step()
            if ending is not None:
                answers.remove(answer)
                result = answer.close(ending)
                self._queue.finish(answer.handle)
                self._start()
                self._ended(answer.handle, result)

    def _await_work(self, answers: list[Computation]) -> bool:
        """Add the answers of requests that have started; wait if there are no answers. Return False at the end."""
        with self._changed:
            self._changed.wait_for(lambda: answers or self._started or self._is_closed)
            started = [*self._started]
            self._started.clear()
        answers += [self._begin(handle) for handle in started]
        return bool(answers)
