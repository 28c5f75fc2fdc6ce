# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Waiting for what another thread or process does."""

from __future__ import annotations

from collections.abc import Callable
from time import sleep
from typing import Any

import pytest


def wait_for(condition: Callable[[], Any], seconds: float = 10.0) -> Any:
    """Return the first true value of `condition`; fail after `seconds`, or more on a busy machine."""
    for _ in range(int(seconds / 0.002)):  # counted, so that a machine that stood still is forgiven
        value = condition()
        if value:
            return value
        sleep(0.002)
    pytest.fail(f'nothing happened within {seconds} s')
