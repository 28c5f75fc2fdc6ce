# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""An action server in which cancels and requests for results do not wait until goals have been checked."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from threading import Lock
from typing import Any

import rclpy.action

from tinychat_ros.arrivals import Arrivals


class ActionServer(rclpy.action.ActionServer):  # type: ignore[type-arg]
    """
    Checks goals in the thread of `arrivals`, not in the executor.

    rclpy takes a goal, a cancel and a request for a result together, and handles them in this order. Hostile goals take
    tens of milliseconds to check, and a cancel would wait for one or two of them.
    """

    def __init__(self, *args: Any, check: Callable[[Any], None], arrivals: Arrivals, **options: Any) -> None:
        """
        Create the server; the other arguments are those of rclpy's.

        `check` is called with each goal, before `goal_callback`, which only tells its outcome.
        """
        # Held while a goal that was checked is accepted: its client may cancel it before handle_accepted_callback is
        # called.
        self.accepting = Lock()
        self._check = check
        self._arrivals = arrivals
        super().__init__(*args, **options)

    async def execute(self, taken_data: Any) -> None:
        """Handle what was taken from the middleware; a goal is handled later."""
        goal = taken_data.pop('goal', None)
        await super().execute(taken_data)
        if goal is not None:
            self._arrivals.put(partial(self._on_arrival, goal))

    def _on_arrival(self, goal: Any) -> None:
        _, request = goal
        self._check(request.goal)
        with self.accepting:
            _complete(super().execute({'goal': goal}))


def _complete(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine whose callbacks are plain functions, so that it never waits."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise AssertionError('a callback of the action waits')
