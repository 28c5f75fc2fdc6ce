# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The real model, for the tests that need one."""

from __future__ import annotations

from pathlib import Path

import pytest
import smollm2


@pytest.fixture(scope='session')
def smollm2_gguf() -> Path:
    """Return the GGUF file of SmolLM2-135M-Instruct, Q4_1."""
    return smollm2.gguf()


@pytest.fixture(scope='session')
def smollm2_checkpoint() -> Path:
    """Return the split checkpoint of that file."""
    return smollm2.checkpoint()
