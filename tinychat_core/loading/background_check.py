# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A check that goes on while its subject is already in use, and whose end is waited for before anything comes out."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from threading import Event, Thread

Progress = Callable[[float], None]


class Stopped(Exception):
    """Nobody waits for the check any more."""


class BackgroundCheck:
    """A thread that runs a check; what the check raises is raised by every `result`."""

    def __init__(self, check: Callable[[Progress], None], progress: Progress) -> None:
        """Begin; `check` is given what it has to tell its progress to, `progress` hears it in the thread."""
        self._stop = Event()
        self._future: Future[None] = Future()

        def report(fraction: float) -> None:
            if self._stop.is_set():
                raise Stopped
            progress(fraction)

        def run() -> None:
            try:
                check(report)
            except BaseException as error:  # raised again where the result is asked for
                self._future.set_exception(error)
            else:
                self._future.set_result(None)

        self._thread = Thread(target=run, name='checkpoint-check', daemon=True)
        self._thread.start()

    def result(self) -> None:
        """Wait for the end, and raise what the check raised."""
        self._future.result()

    def stop(self) -> None:
        """End the check at the next progress that it tells, and wait for that."""
        self._stop.set()
        self._thread.join()
