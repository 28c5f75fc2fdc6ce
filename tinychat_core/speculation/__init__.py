# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Guesses of the next tokens, which a forward pass verifies: their sources, and how many of them save time."""
