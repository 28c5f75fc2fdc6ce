# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Attacks stand on the soak's client."""

from __future__ import annotations

from pathlib import Path
import sys

sys.path.append(str(Path(__file__).parents[1] / 'soak'))
