# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""One accepted goal, from acceptance to its one terminal state."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock, Timer
from time import monotonic, sleep
from typing import Any

from tinychat_core.engine import CancelFlag
from tinychat_ros.goal_check import Request
from tinychat_ros.interfaces import Chat
from tinychat_ros.token_stream import TokenStream

CLIENT = -1  # the reason for an end that a client asked for; all others are error codes of Chat's result


class AcceptedGoal:
    """
    What the node knows of a goal; `handle` is None for one that came through ~/prompt.

    Why it ends early is decided once, by whoever comes first: a client, the time limit, a preemption, the shutdown.
    """

    def __init__(self, request: Request, goal_id: Any, handle: Any | None) -> None:
        """Start the clock."""
        self.request = request
        self.goal_id = goal_id
        self.handle = handle
        self.accepted_at = monotonic()
        self.cancel = CancelFlag()
        self.stream: TokenStream | None = None
        self.result = Chat.Result(finish_reason=Chat.Result.ABORTED, error_code=Chat.Result.UNKNOWN)
        self._lock = Lock()
        self._end: tuple[int, str] | None = None
        self._timer: Timer | None = None

    def end(self, reason: int, message: str) -> bool:
        """Ask the goal to end, with an error code or CLIENT; False where another reason was first."""
        with self._lock:
            if self._end is not None:
                return False
            self._end = (reason, message)
        self.cancel.set()
        return True

    def limit_time(self, expire: Callable[[AcceptedGoal], None]) -> None:
        """Call `expire` once the goal's time limit is over, if it has one."""
        if self.request.time_limit > 0:
            self._timer = Timer(self.request.time_limit, expire, args=(self,))
            self._timer.daemon = True
            self._timer.start()

    def finish(self, finish_reason: str, error_code: int = 0, message: str = '') -> Chat.Result:
        """Reach the terminal state: fill the result, send the last piece, tell the client. Call once."""
        if self._timer is not None:
            self._timer.cancel()
        result = self.result
        result.finish_reason, result.error_code, result.error_msg = finish_reason, error_code, message
        if self.stream is not None:
            self.stream.close(result.new_tokens, finish_reason, error_code)
        if self.handle is not None:
            if finish_reason == Chat.Result.ABORTED:
                self.handle.abort()
            elif finish_reason == Chat.Result.CANCELED:
                self._await_cancel()
                self.handle.canceled()
            else:
                self.handle.succeed()
        return result

    def finish_early(self) -> Chat.Result:
        """Reach the terminal state that `end` asked for."""
        reason, message = self._end or (Chat.Result.UNKNOWN, 'the goal ended without a reason')
        if reason == CLIENT:
            return self.finish(Chat.Result.CANCELED)
        return self.finish(Chat.Result.ABORTED, reason, message)

    def _await_cancel(self) -> None:
        """Wait until rclpy has marked the goal as canceling, which it does after the cancel callback has returned."""
        assert self.handle is not None
        deadline = monotonic() + 5
        while not self.handle.is_cancel_requested and monotonic() < deadline:
            sleep(0.0005)
