# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What the scheduler computes for a running request, step by step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
import logging
from threading import Thread
from time import monotonic
from typing import Any, TypeVar

from tinychat_core.boundary import is_defect
from tinychat_core.engine import Canceled
from tinychat_core.errors import (
    BackendFailedError,
    CheckpointError,
    NoImageError,
    one_line,
    PromptTooLongError,
    TinyChatError,
)
from tinychat_core.serving.chat_handle import ChatHandle
from tinychat_core.serving.conversations import Conversations, Prepared
from tinychat_core.serving.requests import ChatRequest
from tinychat_core.serving.results import ChatResult, Ending, ErrorCode, LOCAL, ToolCall
from tinychat_core.step import Drawn, Step

_LOG = logging.getLogger(__name__)

Result = TypeVar('Result', bound=ChatResult)


class Computation(ABC):
    """
    The answer to one request.

    `start` it. Whenever it `is_ready`, call `work`, or compute its `next_step` and `take` the sampled tokens, until
    there is an `ending`. Then `close` it.
    """

    def __init__(self, handle: ChatHandle) -> None:
        """Take the request, without computing anything yet."""
        self.handle = handle
        self.ending: Ending | None = None
        self.is_ready = False  # to be computed or closed
        self._begun = monotonic()

    def start(self, ready: Callable[[Computation], None]) -> None:
        """Prepare in a separate thread; `ready` is called with this answer whenever it becomes ready."""
        self._tell_ready = ready
        self.run_in_thread(self._begin)

    def run_in_thread(self, work: Callable[[], None]) -> Thread:
        """Run slow work in a new thread and return the thread. The request is not ready until the work has ended."""
        def run() -> None:
            try:
                work()
            except BaseException as error:
                self.fail(error)
            self.is_ready = True
            self._tell_ready(self)

        self.is_ready = False
        thread = Thread(target=run, name='request', daemon=True)
        thread.start()
        return thread

    @property
    def is_reading(self) -> bool:
        """Whether its next step is a piece of a prompt."""
        return False

    def end_if_canceled(self) -> None:
        """End if the request was ended early."""
        if self.ending is None and self.handle.cancel_flag.is_set():
            self.fail(Canceled('canceled'))

    def work(self) -> None:
        """Compute a small part in separate forward passes."""
        if self.ending is None:
            try:
                self.ending = self._step()
            except BaseException as error:
                self.fail(error)

    def next_step(self, longest: int | None = None, sequences: int = 1) -> Step | None:
        """Return the step for the next shared pass, like Generation.next_step; None if there is none."""
        return None

    def take(self, step: Step, drawn: Drawn) -> None:
        """Process the sampled tokens of a step. Called only if `next_step` has returned one."""
        raise NotImplementedError

    def fail(self, error: BaseException) -> None:
        """End with an error, which may be that of a pass with several answers."""
        # Raising it here would tie this frame to its traceback: a cycle that keeps the engine alive until a collection.
        if isinstance(error, Canceled):
            self.ending = self.handle.early_ending
        elif isinstance(error, PromptTooLongError):
            self.ending = Ending.aborted(ErrorCode.PROMPT_TOO_LONG, str(error))
        elif isinstance(error, (BackendFailedError, CheckpointError)):
            self.ending = Ending.aborted(ErrorCode.BACKEND_FAILED, str(error))
        elif isinstance(error, NoImageError):
            self.ending = Ending.aborted(ErrorCode.NO_IMAGE, str(error))
        elif isinstance(error, TinyChatError):
            self.ending = Ending.aborted(ErrorCode.INVALID_GOAL, str(error))
        elif isinstance(error, MemoryError):
            self.ending = Ending.aborted(ErrorCode.OUT_OF_MEMORY, 'there is not enough memory')
        elif is_defect(error):
            _LOG.debug('a request has failed', exc_info=error)
            self.ending = Ending.aborted(ErrorCode.BACKEND_FAILED, one_line(f'the backend failed: {error!r}'))
        else:
            raise error

    @abstractmethod
    def close(self) -> ChatResult:
        """Release the resources, and return the result."""

    @staticmethod
    def end(conversations: Conversations, request: ChatRequest, prepared: Prepared | None, ending: Ending,
            calls: Sequence[ToolCall] = ()) -> None:
        """Tell the conversations that the request has ended; an error there does not change its result."""
        try:
            conversations.end(request, prepared, ending.has_failed, calls)
        except BaseException as error:
            if not is_defect(error):
                raise
            _LOG.error(one_line(f'the end of a request could not be noted: {error!r}'), exc_info=True)

    def result(self, kind: type[Result], ending: Ending, **fields: Any) -> Result:
        """Return a result without text."""
        served_by = LOCAL if fields else ''
        return kind('', ending.finish_reason, ending.error_code, ending.message, served_by=served_by,
                    queue_time=self._begun - self.handle.accepted_at, **fields)

    @abstractmethod
    def _begin(self) -> None:
        """Prepare; may raise anything."""

    def _step(self) -> Ending | None:
        """Compute a small part. Return the ending if the request ends with it, otherwise None. May raise anything."""
        return None
