# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The real model, for the tests that need one."""

from __future__ import annotations

import logging
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


@pytest.fixture
def core_log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """
    Return what the core logs.

    A ROS 2 distribution loads launch's plugin into every pytest, and its class of loggers passes nothing on.
    """
    for name in logging.root.manager.loggerDict:
        if name.startswith('tinychat_core'):
            logging.getLogger(name).propagate = True
    return caplog
