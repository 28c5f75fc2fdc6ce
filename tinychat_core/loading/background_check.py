# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A check that runs while the checked files are already in use; results wait until it has finished."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from threading import Event, Thread

Progress = Callable[[float], None]


class Stopped(Exception):
    """The check was stopped."""


class BackgroundCheck:
    """Runs a check in a thread; `result` raises what the check raised."""

    def __init__(self, check: Callable[[Progress], None], progress: Progress) -> None:
        """Start `check`, which receives a function to report its progress; that calls `progress` in the thread."""
        self._stop = Event()
        self._future: Future[None] = Future()

        def report(fraction: float) -> None:
            if self._stop.is_set():
                raise Stopped
            progress(fraction)

        def run() -> None:
            try:
                check(report)
            except BaseException as error:  # raised again by `result`
                self._future.set_exception(error)
            else:
                self._future.set_result(None)

        self._thread = Thread(target=run, name='checkpoint-check', daemon=True)
        self._thread.start()

    def result(self) -> None:
        """Wait for the check to finish, and raise what it raised."""
        self._future.result()

    def stop(self) -> None:
        """Stop the check at its next progress report, and wait for it to stop."""
        self._stop.set()
        self._thread.join()
