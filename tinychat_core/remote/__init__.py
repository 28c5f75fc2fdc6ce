# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Backends on other machines: OpenAI-compatible servers that answer requests in addition to the local model."""
