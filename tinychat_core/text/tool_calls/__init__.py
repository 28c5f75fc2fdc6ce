# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Tool calls: the tools of a request, the formats of calls, and the parser of answers."""
