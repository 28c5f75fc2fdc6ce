# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""tools/check_cuda_device.sh, its commands replaced by ones that only tell what they were asked for."""
from __future__ import annotations

import os
from pathlib import Path
import subprocess

from cuda_on_host import ROOT
import pytest

TELLS = '#!/bin/bash\necho "$(basename "$0") $*" >> "$LOG"\ncase "$*" in $FAILS) exit 1;; esac\n'


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    """Return a directory of a Python and a sanitizer."""
    for name in ('python', 'compute-sanitizer', 'cmake'):
        (tmp_path / name).write_text(TELLS)
        (tmp_path / name).chmod(0o755)
    return tmp_path


def check(commands: Path, fails: str = '') -> tuple[int, list[str]]:
    """Return the exit code, and what was run; what matches `fails` fails."""
    environment = {**os.environ, 'PATH': f'{commands}:{os.environ["PATH"]}', 'LOG': str(commands / 'log'),
                   'FAILS': fails}
    done = subprocess.run([ROOT / 'tools' / 'check_cuda_device.sh', commands / 'python'], env=environment,
                          capture_output=True, text=True, timeout=60)
    return done.returncode, (commands / 'log').read_text().splitlines()


def test_all_is_run(commands: Path) -> None:
    code, ran = check(commands)
    assert code == 0
    assert ran[0].endswith('setup.py --quiet build_ext --inplace')
    assert ran[3].startswith('cmake --build') and ran[3].endswith('--target test_cuda_batch')
    assert ran[4] == 'python -m pytest -q -m gpu test/cuda'
    assert ran[-1] == 'python benchmarks/cuda_speed.py'
    sanitized = [line.split() for line in ran if line.startswith('compute-sanitizer')]
    assert {line[2] for line in sanitized} == {'memcheck', 'racecheck', 'synccheck', 'initcheck'}
    batches = [line for line in sanitized if line[-2].endswith('test_cuda_batch')]
    assert {line[2] for line in batches} == {'memcheck', 'racecheck', 'synccheck', 'initcheck'}
    assert {line[-3] for line in sanitized if line not in batches} == {'W4A16', 'W8A16', 'W8A8', 'W16A16'}


def test_one_that_fails_leaves_the_others(commands: Path) -> None:
    code, ran = check(commands, '*racecheck*W8A8*')
    assert code == 1
    assert ran[-1] == 'python benchmarks/cuda_speed.py'


def test_without_a_device_nothing_is_run(commands: Path) -> None:
    code, ran = check(commands, '*usable_library*')
    assert code == 1
    assert len(ran) == 2
