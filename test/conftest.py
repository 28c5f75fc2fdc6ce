# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The real model that `make model` leaves, for the tests that need one."""

from __future__ import annotations

from pathlib import Path

import pytest

MODELS = Path(__file__).resolve().parents[1] / 'models'


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
    """Return the split checkpoint that `tinychat import` made of that file."""
    return made(MODELS / 'smollm2-135m-instruct')
