# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Launch tests are collected where launch_testing is, which comes with a ROS 2 distribution.

test/ros has the same behaviours through rclpy alone.
"""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec('launch_testing') else ['test_*.py']
