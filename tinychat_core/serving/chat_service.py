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
from tinychat_core.errors import InvalidParameterError, one_line
from tinychat_core.serving.answer import Answer
from tinychat_core.serving.backend_status import BackendStatus
from tinychat_core.serving.chat_handle import ChatHandle, Listener
from tinychat_core.serving.computation import Computation
from tinychat_core.serving.conversations import Conversations
from tinychat_core.serving.decision import Decision
from tinychat_core.serving.embedding import Embedding
from tinychat_core.serving.prefill_pace import PrefillPace
from tinychat_core.serving.request_queue import Admission
from tinychat_core.serving.requests import (
    ChatRequest,
    DecisionRequest,
    EmbeddingRequest,
    Refusal,
    RefusalReason,
    Request,
)
from tinychat_core.serving.results import ChatResult, Ending, ErrorCode, LOCAL, Queued
from tinychat_core.serving.scheduler import Scheduler
from tinychat_core.serving.time_limits import TimeLimits

_LOG = logging.getLogger(__name__)


@dataclass
class Metrics:
    """
    Figures of the last answer, and counts of all.

    `failure` is the message of the last request that failed because of the backend or a lack of memory; it is empty
    again after the next answer. Times are in seconds.
    """

    answers: int = 0
    failed: int = 0
    failure: str = ''
    tokens_per_second: float = 0.0
    time_to_first_token: float = 0.0

    def count(self, result: ChatResult) -> None:
        """Count a request that has ended."""
        if result.error_code in (ErrorCode.OUT_OF_MEMORY, ErrorCode.BACKEND_FAILED, ErrorCode.REMOTE_FAILED):
            self.failed += 1
            self.failure = result.error_message
        elif result.new_tokens:  # without any, it may have ended before it used the backend
            self.failure = ''
        if result.new_tokens:
            self.answers += 1
            self.time_to_first_token = result.time_to_first_token
        if result.tokens_per_second:
            self.tokens_per_second = result.tokens_per_second


class ChatService:
    """
    Accepts requests between `open` and `stop`. Conversations are kept when it is stopped and opened again.

    All methods may be called from any thread, but `stop` and `close` not from a listener.
    """

    def __init__(self, engine: Engine, kv_caches: int = 1, admission: Callable[[], Admission] = Admission,
                 on_change: Callable[[], None] = lambda: None) -> None:
        """
        Take an open engine, which `close` closes, and the maximum number of KV caches.

        `engine.parallel` requests run at the same time, and there are at least as many caches. `admission` returns the
        current rules for requests that arrive while others run. `on_change` is called whenever `running` or `waiting`
        has changed, from any thread.
        """
        self.engine = engine
        self.kv_caches = max(kv_caches, engine.parallel)
        self.metrics = Metrics()
        self.conversations = Conversations(engine, self.kv_caches)
        self._admission = admission
        self._on_change = on_change
        self._scheduler = Scheduler(engine.parallel, PrefillPace(engine.longest_piece, engine.shortest_piece),
                                    engine.run, self._begin, self._on_ended)
        self._limits: TimeLimits[ChatHandle] = TimeLimits(self._on_time_limit)
        self._changed = Condition()  # guards the two below
        self._is_open = False
        self._alive = 0  # accepted requests that have not ended

    @property
    def running(self) -> list[ChatHandle]:
        """The running requests."""
        return self._scheduler.running

    @property
    def waiting(self) -> int:
        """The number of waiting requests."""
        return self._scheduler.waiting

    @property
    def is_open(self) -> bool:
        """Whether requests are accepted, if there is room."""
        return self._is_open

    @property
    def backends(self) -> list[str]:
        """The names of the backends that can answer now."""
        return [LOCAL]

    def backend_status(self) -> list[BackendStatus]:
        """Return what is known about backends on other machines; a service without any has none."""
        return []

    def open(self) -> None:
        """Accept requests."""
        with self._changed:
            self._is_open = True

    def stop(self, why: str, finish_running: bool = False) -> None:
        """Refuse new requests, end the waiting ones and, without `finish_running`, the running ones; wait for them."""
        with self._changed:
            self._is_open = False
        for handle in self._scheduler.drain():
            self._end_waiting(handle, Ending.aborted(ErrorCode.DEACTIVATED, why))
        if not finish_running:
            self.end_running(why)
        with self._changed:
            self._changed.wait_for(lambda: self._alive == 0)

    def end_running(self, why: str) -> None:
        """Tell the running requests to end, without waiting for it."""
        for handle in self._scheduler.running:
            self._end_running(handle, Ending.aborted(ErrorCode.DEACTIVATED, why))

    def close(self) -> None:
        """Stop, and release the memory; the service must not be used afterwards."""
        self.stop('the model was unloaded')
        self.release()
        self.engine.close()

    def release(self) -> None:
        """End the threads and release the caches of a stopped service, but not the engine."""
        self._scheduler.close()
        self._limits.close()
        self.conversations.close()

    def check(self, request: Request) -> None:
        """
        Raise Refusal if `submit` would raise it now. Reserves nothing.

        Raises InvalidParameterError for images where the model sees none.
        """
        asked = request.question if isinstance(request, DecisionRequest) else request
        if isinstance(asked, ChatRequest) and asked.all_images and self.engine.images is None:
            raise InvalidParameterError('images: the model sees none; send text alone, or load a vision-language model')
        if not self._is_open:
            raise Refusal(RefusalReason.INACTIVE, 'no requests are accepted')
        self._scheduler.check(request.priority, self._admission(), request.exclusive)

    def submit(self, request: Request, listener: Listener, request_id: UUID | None = None, *,
               is_accepted: bool = False) -> ChatHandle:
        """
        Accept a request; its listener gets the events that ChatHandle describes.

        `is_accepted`: the door has already accepted it, after a `check`. It is then never refused, even if the queue
        has become full since; if the service has stopped, it ends as DEACTIVATED. Raises Refusal.
        """
        if not is_accepted:
            self.check(request)
        handle = ChatHandle(request, request_id or uuid4(), listener, self._end)
        # The time limit is set before the request can run: its end removes the limit again.
        if request.time_limit > 0:
            self._limits.watch(handle, request.time_limit)
        busy_policy = self._admission().busy_policy if request.preempts else 'queue'
        with handle.events_held():  # even if the request starts at once, its listener gets `Queued` first
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
        for other in running:  # one may have ended by itself meanwhile
            self._end_running(other, preempted)
        if handle.cancel_flag.is_set():  # its time limit expired before it was in the queue
            self._end(handle, handle.early_ending)
        self._tell_of_change()
        return handle

    def _begin(self, handle: ChatHandle) -> Computation:
        request = handle.request
        if isinstance(request, DecisionRequest):
            return Decision(handle, request, self.conversations, self.engine)
        if isinstance(request, EmbeddingRequest):
            return Embedding(handle, request, self.conversations, self.engine)
        return Answer(handle, request, self.conversations)

    def _end(self, handle: ChatHandle, ending: Ending) -> bool:
        """End a waiting or running request; return False for one that has ended or is ending by itself."""
        if self._scheduler.take(handle):
            self._end_waiting(handle, ending)
            self._tell_of_change()
            return True
        is_running = handle in self._scheduler.running
        self._end_running(handle, ending)
        return is_running

    def _end_running(self, handle: ChatHandle, ending: Ending) -> None:
        handle.end_early(ending)
        self._scheduler.end(handle)

    def _end_waiting(self, handle: ChatHandle, ending: Ending) -> None:
        """End a request that has not started and is no longer in the queue."""
        handle.end_early(ending)
        ending = handle.early_ending
        self._finish(handle, ChatResult('', ending.finish_reason, ending.error_code, ending.message,
                                        queue_time=monotonic() - handle.accepted_at))

    def _on_time_limit(self, handle: ChatHandle) -> None:
        self._end(handle, Ending.aborted(ErrorCode.TIME_LIMIT,
                                         f'the time limit of {handle.request.time_limit:g} s is over'))

    def _on_ended(self, handle: ChatHandle, result: ChatResult) -> None:
        self.metrics.count(result)
        self._tell_of_change()
        self._finish(handle, result)

    def _tell_of_change(self) -> None:
        try:
            self._on_change()
        except BaseException as error:  # requests continue
            if not is_defect(error):
                raise
            _LOG.error(one_line(f'a change could not be told: {error!r}'), exc_info=True)

    def _finish(self, handle: ChatHandle, result: ChatResult) -> None:
        handle.finish(result)
        self._limits.forget(handle)
        with self._changed:
            self._alive -= 1
            self._changed.notify_all()
