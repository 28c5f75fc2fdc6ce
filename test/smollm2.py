# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Where the real model of the tests is; for the fixtures, and for tests that are no pytest functions."""

from __future__ import annotations

from fcntl import flock, LOCK_EX
import hashlib
from pathlib import Path
import shutil
import sys

import pytest

ROOT = Path(__file__).resolve().parents[1]


def gguf() -> Path:
    """Return the file that the Makefile provides; where `make test` runs, its absence is a failure, never a skip."""
    path = ROOT / 'models' / 'SmolLM2-135M-Instruct.Q4_1.gguf'
    if not path.exists():
        why = f'{path} is missing: run `make model`'
        if Path(sys.prefix) != ROOT / '.venv':  # in a workspace, by `colcon test`
            pytest.skip(why)
        pytest.fail(why, pytrace=False)
    return path


def checkpoint() -> Path:
    """Return the split checkpoint of that file; made anew when anything that makes it has changed."""
    from tinychat_core.importers import import_model

    source = gguf()
    makers = sorted(path for part in ('checkpoint', 'families', 'importers')
                    for path in (ROOT / 'tinychat_core' / part).rglob('*.py'))
    key = hashlib.sha256(b''.join(path.read_bytes() for path in makers)).hexdigest()[:12]
    made = ROOT / 'build' / 'cache' / f'smollm2-{key}'
    made.parent.mkdir(parents=True, exist_ok=True)
    with (made.parent / 'lock').open('w') as lock:
        flock(lock, LOCK_EX)  # test processes that run side by side make it once
        if not made.exists():
            for old in made.parent.glob('smollm2-*'):
                shutil.rmtree(old)
            import_model(str(source), made)
    return made
