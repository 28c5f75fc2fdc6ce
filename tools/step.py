# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Run one long step of the build: `step.py TITLE COMMAND…`.

Its output is kept to one moving line, and shown in full only when it fails. Uses no more than Python itself.
"""

from __future__ import annotations

import subprocess
import sys
from threading import Thread
import time
from typing import IO

TAIL = 60  # lines shown of a failed step


def collect(stream: IO[str], lines: list[str]) -> None:
    """Keep the lines of a command as it prints them."""
    for line in stream:
        if line.strip() and not line.startswith('WARNING'):
            lines.append(line.rstrip())


def run(title: str, command: list[str]) -> int:
    """Run a command, show what it is at, and return its exit code."""
    terminal = sys.stderr.isatty()
    # A terminal gets a line twice a second that replaces the one before; a log gets one every ten.
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
