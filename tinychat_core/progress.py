# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A progress bar on stderr."""

from __future__ import annotations

import sys
from time import monotonic
from typing import TextIO


class ProgressBar:
    """Shows the fraction done: an updating line on a terminal, otherwise one line every ten seconds."""

    def __init__(self, title: str, stream: TextIO | None = None) -> None:
        """Start the clock; nothing is shown before the first call."""
        self._title = title
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._period = 0.1 if self._terminal else 10.0
        self._start = self._shown = monotonic()

    def __call__(self, fraction: float) -> None:
        """Report the fraction done, 0 .. 1."""
        now = monotonic()
        finished = fraction >= 1
        if now - self._shown < self._period and not (finished and self._terminal):
            return
        self._shown = now
        left = (now - self._start) * (1 - fraction) / max(fraction, 1e-9)
        bar = '#' * int(30 * fraction)
        text = f'{self._title} [{bar:<30}] {fraction:4.0%}' + ('' if finished else f', {left:.0f} s left')
        print(f'\r\x1b[K{text}' if self._terminal else text, file=self._stream, flush=True,
              end='\n' if finished or not self._terminal else '')
