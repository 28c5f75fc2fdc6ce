# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Latency of a checkpoint, or of a known shape with random weights."""
