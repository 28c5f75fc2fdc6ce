# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""TinyChat's ROS 2 layer: the node, its client, and nothing that decodes."""

from __future__ import annotations

from importlib import import_module
import sys

try:
    import_module('rclpy')
except ImportError as error:  # `pip install tinychat-ros` works without ROS 2, and then these scripts exist, too
    sys.exit(f'tinychat_ros: rclpy cannot be imported ({error}); source ROS 2 (source /opt/ros/…/setup.bash) and use '
             'its Python; without ROS 2, use the command tinychat')
