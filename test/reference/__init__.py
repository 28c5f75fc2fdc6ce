# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Independent implementations to compare with: nothing here is used by the package."""
