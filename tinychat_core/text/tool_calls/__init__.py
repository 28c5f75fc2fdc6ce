# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Tool calls: what a model may call, how its format writes a call, and how a call is read back."""
