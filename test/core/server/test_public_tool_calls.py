# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Questions of the Berkeley Function-Calling Leaderboard: every call that comes back is valid, streamed and not."""

from __future__ import annotations

import json
from pathlib import Path
import subprocess
import sys

import pytest

BENCHMARK = Path(__file__).resolve().parents[3] / 'benchmarks' / 'tool_calls.py'
CASES = 20  # of each kind


@pytest.mark.large
def test_every_call_is_valid(smollm2_checkpoint: Path) -> None:
    run = subprocess.run([sys.executable, BENCHMARK, smollm2_checkpoint, '--cases', str(CASES), '--json'],
                         capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-5000:]
    print(run.stdout)
    figures = json.loads(run.stdout)
    assert [*figures] == ['simple', 'multiple', 'parallel']
    for kind, rows in figures.items():
        for name, row in rows.items():
            assert (row['questions'], row['valid']) == (CASES, row['calls']), (kind, name)
        assert rows['required, streamed']['differ'] == 0
        assert rows['required']['calls'] > 0
