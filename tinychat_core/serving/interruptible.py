# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Runs work that cannot be interrupted in a thread, and stops waiting for it on a cancel."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, wait
from threading import Thread
from typing import TypeVar

from tinychat_core.engine import Canceled, CancelFlag

Result = TypeVar('Result')

LOOK_PERIOD = 0.01  # [s]


def interruptible(work: Callable[[], Result], cancel: CancelFlag) -> Result:
    """
    Return work(), or raise what it raises; Canceled as soon as `cancel` is set.

    After a cancel, the work continues in its thread until it ends by itself. So it must take a bounded time and change
    nothing.
    """
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    Thread(target=run, name='prompt', daemon=True).start()
    while not wait([future], LOOK_PERIOD).done:
        if cancel.is_set():
            raise Canceled('canceled')
    return future.result()
