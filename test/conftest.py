# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The real model, for the tests that need one."""

from __future__ import annotations

import hashlib
from pathlib import Path
import shutil

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODELS = ROOT / 'models'


def made(path: Path) -> Path:
    """Return a path that the Makefile provides; its absence is a failure, never a skip."""
    if not path.exists():
        pytest.fail(f'{path} is missing: run `make model`', pytrace=False)
    return path


@pytest.fixture(scope='session')
def smollm2_gguf() -> Path:
    """Return the GGUF file of SmolLM2-135M-Instruct, Q4_1."""
    return made(MODELS / 'SmolLM2-135M-Instruct.Q4_1.gguf')


@pytest.fixture(scope='session')
def smollm2_checkpoint(smollm2_gguf: Path) -> Path:
    """Return the split checkpoint of that file; made anew when anything that makes it has changed."""
    from tinychat_core.importers import import_model

    makers = sorted(path for part in ('checkpoint', 'families', 'importers')
                    for path in (ROOT / 'tinychat_core' / part).rglob('*.py'))
    key = hashlib.sha256(b''.join(path.read_bytes() for path in makers)).hexdigest()[:12]
    checkpoint = ROOT / 'build' / 'cache' / f'smollm2-{key}'
    if not checkpoint.exists():
        for old in checkpoint.parent.glob('smollm2-*'):
            shutil.rmtree(old)
        import_model(str(smollm2_gguf), checkpoint)
    return checkpoint
