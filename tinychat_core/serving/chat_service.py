# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A loaded model that answers the requests of every door: one queue, one set of limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import logging
from threading import Condition
from time import monotonic
from uuid import UUID, uuid4

from tinychat_core.boundary import is_defect
from tinychat_core.engine import Engine
from tinychat_core.errors import one_line
from tinychat_core.serving.answer import Answer
from tinychat_core.serving.chat_handle import ChatHandle, Listener
from tinychat_core.serving.conversations import Conversations
from tinychat_core.serving.request_queue import Admission
from tinychat_core.serving.requests import ChatRequest, Refusal, RefusalReason
from tinychat_core.serving.results import ChatResult, Ending, ErrorCode, Queued
from tinychat_core.serving.scheduler import Scheduler
from tinychat_core.serving.time_limits import TimeLimits

_LOG = logging.getLogger(__name__)


@dataclass
class Metrics:
    """
    Figures of the last answer, and counts of all.

    `failure` is the message of the last request that failed through the backend or for want of memory, until another
    one is answered. Times are in seconds.
    """

    answers: int = 0
    failed: int = 0
    failure: str = ''
    tokens_per_second: float = 0.0
    time_to_first_token: float = 0.0


class ChatService:
    """
    Accepts requests between `open` and `stop`; what it knows of conversations outlives a pause.

    All methods may be called from any thread; `stop` and `close` not from a listener.
    """

    def __init__(self, engine: Engine, kv_caches: int = 1, admission: Callable[[], Admission] = Admission,
                 on_change: Callable[[], None] = lambda: None) -> None:
        """
        Take an open engine, to be closed with this, and how many KV caches there may be.

        `admission` tells what a request meets now while others run. `on_change` is called whenever `running` or
        `waiting` has changed, from any thread.
        """
        self.engine = engine
        self.kv_caches = kv_caches
        self.metrics = Metrics()
        self.conversations = Conversations(engine, kv_caches)
        self._admission = admission
        self._on_change = on_change
        self._scheduler = Scheduler(lambda handle: Answer(handle, self.conversations), self._on_ended)
        self._limits: TimeLimits[ChatHandle] = TimeLimits(self._on_time_limit)
        self._changed = Condition()  # guards the two below
        self._is_open = False
        self._alive = 0  # requests that were accepted and have not ended

    @property
    def running(self) -> list[ChatHandle]:
        """The requests that run."""
        return self._scheduler.running

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return self._scheduler.waiting

    @property
    def is_open(self) -> bool:
        """Whether requests are accepted, where there is room."""
        return self._is_open

    def open(self) -> None:
        """Accept requests."""
        with self._changed:
            self._is_open = True

    def stop(self, why: str, finish_running: bool = False) -> None:
        """Refuse new requests and end those that wait, and unless told otherwise those that run; wait for their end."""
        with self._changed:
            self._is_open = False
        for handle in self._scheduler.drain():
            self._end_waiting(handle, Ending.aborted(ErrorCode.DEACTIVATED, why))
        if not finish_running:
            self.end_running(why)
        with self._changed:
            self._changed.wait_for(lambda: self._alive == 0)

    def end_running(self, why: str) -> None:
        """Ask the requests that run to end, and do not wait."""
        for handle in self._scheduler.running:
            handle.end_early(Ending.aborted(ErrorCode.DEACTIVATED, why))

    def close(self) -> None:
        """Stop, and give the memory back; the service must not be used afterwards."""
        self.stop('the model was unloaded')
        self._scheduler.close()
        self._limits.close()
        self.conversations.close()
        self.engine.close()

    def check(self, request: ChatRequest) -> None:
        """Raise Refusal where `submit` would. Reserves nothing."""
        if not self._is_open:
            raise Refusal(RefusalReason.INACTIVE, 'no requests are accepted')
        self._scheduler.check(request.priority, self._admission())

    def submit(self, request: ChatRequest, listener: Listener, request_id: UUID | None = None, *,
               is_accepted: bool = False) -> ChatHandle:
        """
        Accept a request; its listener hears what becomes of it, as ChatHandle says.

        `is_accepted`: the door has promised to answer it, after a `check`. Then it is never refused: it may meet a
        queue that has filled since, and a service that has stopped ends it as DEACTIVATED. Raises Refusal.
        """
        if not is_accepted:
            self.check(request)
        handle = ChatHandle(request, request_id or uuid4(), listener, self._end)
        # Watched before it can run, and so end, which ends the watching.
        if request.time_limit > 0:
            self._limits.watch(handle, request.time_limit)
        busy_policy = self._admission().busy_policy
        with handle.events_held():  # it may start at once, and its listener hears first that it waits
            with self._changed:
                self._alive += 1
                is_open = self._is_open
                if is_open:
                    waiting, running = self._scheduler.push(handle, busy_policy)
            ahead = self._scheduler.ahead(handle)
            if ahead:
                handle.emit(Queued(ahead))
        if not is_open:
            self._end_waiting(handle, Ending.aborted(ErrorCode.DEACTIVATED, 'no requests are accepted any more'))
            return handle
        preempted = Ending.aborted(ErrorCode.PREEMPTED, 'a newer request took its place')
        for other in waiting:
            self._end_waiting(other, preempted)
        for other in running:  # it may have ended by itself meanwhile
            other.end_early(preempted)
        if handle.cancel_flag.is_set():  # its time limit has expired before it was in the queue
            self._end(handle, handle.early_ending)
        self._tell_of_change()
        return handle

    def _end(self, handle: ChatHandle, ending: Ending) -> bool:
        """End a request that waits or runs; return False for one that has ended or is ending by itself."""
        if self._scheduler.take(handle):
            self._end_waiting(handle, ending)
            self._tell_of_change()
            return True
        handle.end_early(ending)
        return handle in self._scheduler.running

    def _end_waiting(self, handle: ChatHandle, ending: Ending) -> None:
        """End a request that is not in the queue."""
        handle.end_early(ending)
        ending = handle.early_ending
        self._finish(handle, ChatResult('', ending.finish_reason, ending.error_code, ending.message,
                                        queue_time=monotonic() - handle.accepted_at))

    def _on_time_limit(self, handle: ChatHandle) -> None:
        self._end(handle, Ending.aborted(ErrorCode.TIME_LIMIT,
                                         f'the time limit of {handle.request.time_limit:g} s is over'))

    def _on_ended(self, handle: ChatHandle, result: ChatResult) -> None:
        metrics = self.metrics
        if result.error_code in (ErrorCode.OUT_OF_MEMORY, ErrorCode.BACKEND_FAILED):
            metrics.failed += 1
            metrics.failure = result.error_message
        elif result.new_tokens:  # without any it may have ended before it met the backend
            metrics.failure = ''
        if result.new_tokens:
            metrics.answers += 1
            metrics.time_to_first_token = result.time_to_first_token
        if result.tokens_per_second:
            metrics.tokens_per_second = result.tokens_per_second
        self._tell_of_change()
        self._finish(handle, result)

    def _tell_of_change(self) -> None:
        try:
            self._on_change()
        except BaseException as error:  # requests go on
            if not is_defect(error):
                raise
            _LOG.error(one_line(f'a change could not be told: {error!r}'), exc_info=True)

    def _finish(self, handle: ChatHandle, result: ChatResult) -> None:
        handle.finish(result)
        self._limits.forget(handle)
        with self._changed:
            self._alive -= 1
            self._changed.notify_all()
