# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The memory of the process."""
from __future__ import annotations

from tinychat_core.resident_memory import resident_bytes


def test_a_python_process_takes_megabytes() -> None:
    assert 10e6 < resident_bytes() < 10e9
