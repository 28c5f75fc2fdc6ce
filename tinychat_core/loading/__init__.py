# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Brings a checkpoint into memory: the memory plan, the load mode, mapping or copying, and verification."""
