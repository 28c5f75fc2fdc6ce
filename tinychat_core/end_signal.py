# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Ends a process within a bounded time after SIGINT or SIGTERM, whatever it is doing."""

from __future__ import annotations

from collections.abc import Callable
import signal

from tinychat_core._tinychat import exit_after_signal

LONGEST_END = 4.0  # [s] from a signal to the end of the process

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def on_end_signal(end: Callable[[], object], work: str, longest: float = LONGEST_END) -> None:
    """
    Call `end` at SIGINT or SIGTERM. If the process has not ended `longest` seconds later, exit with 1.

    A message on stderr then says that `work` has not ended. Call this once, in the main thread.
    """
    for number in SIGNALS:
        signal.signal(number, lambda *_: end())
    exit_after_signal(SIGNALS, longest, f'{work} has not ended within {longest:g} s of the signal; the process exits '
                      'anyway')
