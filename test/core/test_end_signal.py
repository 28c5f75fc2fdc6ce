# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A signal ends a process in a bounded time, even if Python itself is stuck."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

START = 'from tinychat_core.end_signal import on_end_signal\n'
STUCK = {
    'Python code': 'import time\nwhile True: time.sleep(1)',
    'something that holds the interpreter lock': 'sum(range(10**15))',
    'the end of the interpreter': 'import threading\nthreading.Thread(target=threading.Event().wait).start()',
    'a last hook that holds the lock': 'import atexit\natexit.register(sum, range(10**15))',
}


def signaled(code: str) -> subprocess.CompletedProcess[str]:
    """Run code, send SIGTERM after its first line, and return how it ended."""
    with subprocess.Popen([sys.executable, '-c', START + code], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        out, error = process.communicate(timeout=30)
    return subprocess.CompletedProcess([], process.returncode, out, error)


@pytest.mark.parametrize('stuck', STUCK)
def test_what_does_not_end_is_ended(stuck: str) -> None:
    ended = signaled(f"on_end_signal(lambda: None, 'a request', 0.2)\nprint('ready', flush=True)\n{STUCK[stuck]}")
    assert ended.returncode == 1
    assert ended.stderr == 'a request has not ended within 0.2 s of the signal; the process exits anyway\n'


def test_what_ends_in_time_ends_by_itself() -> None:
    ended = signaled("import threading\nend = threading.Event()\non_end_signal(end.set, 'a request', 20)\n"
                     "print('ready', flush=True)\nend.wait()\nprint('bye')\nraise SystemExit(3)")
    assert (ended.returncode, ended.stdout, ended.stderr) == (3, 'bye\n', '')
