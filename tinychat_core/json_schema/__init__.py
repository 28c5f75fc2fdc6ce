# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""JSON Schema, said so that a constraint keeps all of it."""
