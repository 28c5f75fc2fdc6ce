# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Run one long step of the build: `step.py TITLE COMMAND…`.

Shows only the last line of its output while it runs, and the last lines if it fails. Needs only the standard library.
"""

from __future__ import annotations

import subprocess
import sys
from threading import Thread
import time
from typing import IO

TAIL = 60  # lines shown if a step fails


def collect(stream: IO[str], lines: list[str]) -> None:
    """Collect the output lines of a command."""
    for line in stream:
        if line.strip() and not line.startswith('WARNING'):
            lines.append(line.rstrip())


def run(title: str, command: list[str]) -> int:
    """Run a command, show its progress, and return its exit code."""
    terminal = sys.stderr.isatty()
    # A terminal gets a line twice a second that replaces the previous one. A log gets one line every ten seconds.
    period, before, after = (0.5, '\r\033[K', '') if terminal else (10.0, '', '\n')

    def show(text: str) -> None:
        print(f'{before}-- {text:.110}', end=after, file=sys.stderr, flush=True)

    show(title)
    start = time.monotonic()
    lines: list[str] = []
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors='replace')
    assert process.stdout is not None
    reader = Thread(target=collect, args=(process.stdout, lines), daemon=True)
    reader.start()
    try:
        while True:
            reader.join(period)
            if not reader.is_alive():
                break
            show(f'{title} ({time.monotonic() - start:.0f} s) {lines[-1].strip() if lines else ""}')
        code = process.wait()
    except KeyboardInterrupt:
        process.wait()
        code = 130
    show(f'{title}: {"done" if code == 0 else "FAILED"} ({time.monotonic() - start:.1f} s)')
    if terminal:
        print(file=sys.stderr)
    if code not in (0, 130):
        print('\n'.join(lines[-TAIL:]), file=sys.stderr)
    return code


if __name__ == '__main__':
    sys.exit(run(sys.argv[1], sys.argv[2:]))
