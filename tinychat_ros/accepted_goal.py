# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""One accepted goal, from acceptance to its one terminal state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from time import monotonic, sleep
from typing import Any
from uuid import UUID

from tinychat_core.engine import CancelFlag
from tinychat_core.speech.spoken_text import SpokenText
from tinychat_ros.goal_check import Request
from tinychat_ros.interfaces import Chat
from tinychat_ros.token_stream import Piece, TokenStream

ERROR_NAMES = {getattr(Chat.Result, name): name for name in (
    'INVALID_GOAL', 'PROMPT_TOO_LONG', 'PREEMPTED', 'TIME_LIMIT', 'DEACTIVATED', 'STRUCTURE_INCOMPLETE',
    'OUT_OF_MEMORY', 'BACKEND_FAILED', 'CLIENT_LOST', 'UNKNOWN')}
CLIENT = -1  # the reason for an end that a client asked for; all others are error codes of Chat's result


@dataclass(frozen=True)
class Ending:
    """How a goal ends, in the words of Chat's result."""

    finish_reason: str
    error_code: int = Chat.Result.NONE
    message: str = ''


class AcceptedGoal:
    """
    What the node knows of a goal; `handle` is None for one that came through ~/prompt.

    Why it ends early is decided once, by whoever comes first: a client, the time limit, a preemption, the
    shutdown.
    """

    def __init__(self, request: Request, goal_id: Any, handle: Any | None,
                 emit: Callable[[AcceptedGoal, Piece], None]) -> None:
        """Start the clock; pieces of the answer go through `emit`."""
        self.request = request
        self.goal_id = goal_id
        self.handle = handle
        self.accepted_at = monotonic()
        self.cancel = CancelFlag()
        self.stream = TokenStream(lambda piece: emit(self, piece), request.publish_period)
        self.speech = SpokenText()
        self.result = Chat.Result()
        self._lock = Lock()
        self._early: Ending | None = None

    def end(self, reason: int, message: str = '') -> None:
        """Ask the goal to end, with an error code or CLIENT; another reason that was first stays."""
        with self._lock:
            if self._early is None:
                self._early = (Ending(Chat.Result.CANCELED) if reason == CLIENT else
                               Ending(Chat.Result.ABORTED, reason, message))
        self.cancel.set()

    def show_prefill(self, fraction: float) -> None:
        """Tell the client how much of the prompt has been read, 0 .. 1."""
        if self.handle is not None:
            self.handle.publish_feedback(Chat.Feedback(stage=Chat.Feedback.PREFILL, prefill_progress=fraction))

    @property
    def early_ending(self) -> Ending:
        """What `end` asked for."""
        return self._early or Ending(Chat.Result.ABORTED, Chat.Result.UNKNOWN, 'nobody knows why')

    def finish(self, ending: Ending) -> None:
        """Reach the terminal state, once: send the last piece, fill the result, tell the client."""
        result = self.result
        result.finish_reason, result.error_code = ending.finish_reason, ending.error_code
        result.error_msg = ending.message
        self.stream.close(result.new_tokens, ending.finish_reason, ending.error_code)
        if self.handle is None:
            return
        if ending.finish_reason == Chat.Result.ABORTED:
            self.handle.abort()
        elif ending.finish_reason == Chat.Result.CANCELED:
            self._await_cancel(self.handle)
            self.handle.canceled()
        else:
            self.handle.succeed()

    def summary(self) -> str:
        """Return one line about the goal's end, without a word of what was said."""
        result = self.result
        goal_id = UUID(bytes=bytes(self.goal_id.uuid))
        reason = f' ({ERROR_NAMES[result.error_code]})' if result.error_code else ''
        return (f'goal {goal_id}: {result.finish_reason}{reason}, {result.prompt_tokens} tokens of prompt '
                f'({result.reused_tokens} reused), {result.new_tokens} new, {monotonic() - self.accepted_at:.2f} s '
                f'({result.queue_time:.2f} s waiting)')

    @staticmethod
    def _await_cancel(handle: Any) -> None:
        """Wait until rclpy has marked the goal as canceling: it does so after the cancel callback."""
        deadline = monotonic() + 5
        while not handle.is_cancel_requested and monotonic() < deadline:
            sleep(0.0005)
