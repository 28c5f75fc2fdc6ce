# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Latency tables: of a checkpoint, or of a known shape on random weights."""
