# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""TinyChat's ROS 2 floor: the node, its client, and nothing that decodes."""
