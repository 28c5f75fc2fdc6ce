# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The commands of the command line, one module each with `add_arguments(parser)` and `run(args) -> int`."""
