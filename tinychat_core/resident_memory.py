# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""How much memory this process takes now."""

from __future__ import annotations

import os
from pathlib import Path


def resident_bytes() -> int:
    """Return the memory of this process that is not on disk only, mapped weights included."""
    pages = int(Path('/proc/self/statm').read_text().split()[1])
    return pages * os.sysconf('SC_PAGE_SIZE')
