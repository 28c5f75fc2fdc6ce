# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""kill -9 at random moments of writing, a hundred times: what is left is absent, resumable or whole."""
from __future__ import annotations

import os
from pathlib import Path
import random
import shutil
import signal
import time

import pytest
import small_checkpoint as small

from tinychat_core.errors import CheckpointError
from tinychat_core.loading.reader import Checkpoint

KILLS = 100


def content(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.mark.slow
def test_what_a_killed_writer_leaves(tmp_path: Path) -> None:
    times = []
    for number in range(5):  # one alone may have been held up
        begin = time.monotonic()
        whole = content(small.write(tmp_path / f'reference {number}'))
        times.append(time.monotonic() - begin)
    longest = 3 * min(times)  # a process that forks has to copy its pages first, and removes what it cannot use
    moments = random.Random(7)
    out, partial = tmp_path / 'out', tmp_path / 'out.partial'
    left = {'whole': 0, 'partial': 0, 'absent': 0}
    for _ in range(KILLS):
        writer = os.fork()
        if writer == 0:
            try:
                small.write(out)
            finally:
                os._exit(0)
        time.sleep(moments.uniform(0, longest))
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
        if out.exists():
            left['whole'] += 1
            assert content(out) == whole
            Checkpoint.open(out).close()
            shutil.rmtree(out)
        elif partial.exists():
            left['partial'] += 1
            try:
                Checkpoint.open(partial).close()  # whole but for its name
            except CheckpointError:
                pass
            else:
                assert {name: text for name, text in content(partial).items()
                        if name != 'tinychat-progress.json' and not name.startswith('part-')} == whole
        else:
            left['absent'] += 1
    assert content(small.write(out)) == whole
    assert left['partial'] > KILLS // 10, left
