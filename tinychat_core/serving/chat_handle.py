# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""One accepted request, from its acceptance to its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
import logging
from threading import Event, Lock, RLock
from time import monotonic
from typing import Any
from uuid import UUID

from tinychat_core.boundary import is_defect
from tinychat_core.engine import CancelFlag
from tinychat_core.errors import one_line
from tinychat_core.serving.requests import Request
from tinychat_core.serving.results import ChatEvent, ChatResult, Ending, ErrorCode, Finished, FinishReason
from tinychat_core.serving.token_stream import TokenStream

_LOG = logging.getLogger(__name__)

Listener = Callable[[ChatEvent], None]


class ChatHandle:
    """
    A submitted request, as its door sees it.

    A client, a time limit, a preemption and the end of the service can each end a request early; only the first of them
    has an effect. The listener gets one event at a time, in order, `Finished` last and exactly once. It is called from
    threads of the service, or within `submit`, `cancel` and `abort`.
    """

    def __init__(self, request: Request, request_id: UUID, listener: Listener,
                 end: Callable[[ChatHandle, Ending], bool]) -> None:
        """Start the clock; `end` is the service's function that ends a waiting or running request."""
        self.request: Any = request  # of the kind that the door has submitted
        self.id = request_id
        self.accepted_at = monotonic()
        self.cancel_flag = CancelFlag()
        self.stream = TokenStream(self.emit, request.publish_period)
        self.result: ChatResult | None = None
        self._listener = listener
        self._end = end
        self._deciding = Lock()
        self._early: Ending | None = None
        self._telling = RLock()  # a listener may end the request
        self._has_listener_failed = False
        self._done = Event()

    # --- for doors ------------------------------------------------------------------------------------------

    def cancel(self) -> bool:
        """End the request for its client; return False if it has already ended or is ending by itself."""
        return self._end(self, Ending(FinishReason.CANCELED))

    def abort(self, error_code: ErrorCode, message: str) -> bool:
        """End the request with an error code; return the same as `cancel`."""
        return self._end(self, Ending.aborted(error_code, message))

    def wait(self, timeout: float | None = None) -> ChatResult | None:
        """Return the result after the listener has received it; None after `timeout` seconds."""
        return self.result if self._done.wait(timeout) else None

    # --- for the service ------------------------------------------------------------------------------------

    def end_early(self, ending: Ending) -> None:
        """Set how the request ends, unless that is set already, and interrupt its computation."""
        with self._deciding:
            if self._early is None:
                self._early = ending
        self.cancel_flag.set()

    @property
    def early_ending(self) -> Ending:
        """The ending that the first `end_early` has set."""
        return self._early or Ending.aborted(ErrorCode.UNKNOWN, 'interrupted without a reason')

    @contextmanager
    def events_held(self) -> Iterator[None]:
        """Delay the events of other threads until the end of the block."""
        with self._telling:
            yield

    def emit(self, event: ChatEvent) -> None:
        """Send an event to the listener, unless the request has ended."""
        with self._telling:
            if self.result is None:
                self._tell(event)

    def finish(self, result: ChatResult) -> None:
        """End the request with this result; call it once."""
        with self._telling:
            delta = self.stream.close(result.new_tokens, result.finish_reason)
            self.result = result
            self._tell(Finished(delta, result))
            # A door that keeps the handle must not keep the model or the listener in memory.
            self._end, self._listener = _has_ended, _nobody
        self._done.set()

    def _tell(self, event: ChatEvent) -> None:
        try:
            self._listener(event)
        except BaseException as error:
            if not is_defect(error):
                raise
            # The request continues, and its listener still gets `Finished`.
            if not self._has_listener_failed:
                self._has_listener_failed = True
                _LOG.error(one_line(f'the listener of a request has failed: {error!r}'), exc_info=True)


def _has_ended(handle: ChatHandle, ending: Ending) -> bool:
    return False


def _nobody(event: ChatEvent) -> None:
    pass
