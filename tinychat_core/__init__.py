# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""TinyChat's runtime: quantized language models on the machine's own processor. Knows nothing of ROS."""

__version__ = '0.1.0'
