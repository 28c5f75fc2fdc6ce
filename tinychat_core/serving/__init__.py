# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Serving: requests from any door are queued, answered and streamed. Knows nothing of ROS."""
