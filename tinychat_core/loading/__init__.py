# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""From a checkpoint on disk to weights that kernels read: the memory plan, how to load, and the loading."""
