# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What the scheduler computes for a running request, step by step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
import logging
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

_LOG = logging.getLogger(__name__)

Result = TypeVar('Result', bound=ChatResult)


class Computation(ABC):
    """The answer to one request; call `close` after the last `step`."""

    def __init__(self, handle: ChatHandle) -> None:
        """Take the request, without computing anything yet."""
        self.handle = handle
        self._begun = monotonic()

    def step(self) -> Ending | None:
        """Compute a small part; return how the request ends with it, or None."""
        try:
            return self._step()
        except Canceled:
            return self.handle.early_ending
        except PromptTooLongError as error:
            return Ending.aborted(ErrorCode.PROMPT_TOO_LONG, str(error))
        except (BackendFailedError, CheckpointError) as error:
            return Ending.aborted(ErrorCode.BACKEND_FAILED, str(error))
        except NoImageError as error:
            return Ending.aborted(ErrorCode.NO_IMAGE, str(error))
        except TinyChatError as error:
            return Ending.aborted(ErrorCode.INVALID_GOAL, str(error))
        except MemoryError:
            return Ending.aborted(ErrorCode.OUT_OF_MEMORY, 'there is not enough memory')
        except BaseException as error:
            if not is_defect(error):
                raise
            _LOG.debug('a request has failed', exc_info=True)
            return Ending.aborted(ErrorCode.BACKEND_FAILED, one_line(f'the backend failed: {error!r}'))

    @abstractmethod
    def close(self, ending: Ending) -> ChatResult:
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
    def _step(self) -> Ending | None:
        """Do the same as `step`; may raise anything."""
