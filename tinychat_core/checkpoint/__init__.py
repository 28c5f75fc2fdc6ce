# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The split checkpoint: page-aligned, checksummed shards in the layout that the kernels read."""
