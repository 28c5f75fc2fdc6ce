# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Waits for a coroutine, for a bounded time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar('Result')

SECONDS_TO_END = 0.5  # for a coroutine that was canceled


class TimeIsOver(Exception):
    """The coroutine has not ended in time, and was canceled."""


async def within(seconds: float | None, work: Coroutine[Any, Any, Result]) -> Result:
    """
    Return what `work` returns; cancel it and raise TimeIsOver after `seconds`, None for no limit.

    Unlike asyncio.wait_for before Python 3.12, it never loses a cancellation of the caller.
    """
    if seconds is None:
        return await work
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        await end(task)
        raise
    if not task.done():
        await end(task)
        if task.cancelled() or not task.done():
            raise TimeIsOver
    return task.result()


async def end(task: asyncio.Future[Any]) -> None:
    """Cancel a task, and wait a bounded time until it has ended."""
    task.cancel()
    await asyncio.wait({task}, timeout=SECONDS_TO_END)
    if task.done() and not task.cancelled():
        task.exception()  # it is not reported as never retrieved
