# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The agent: a model carries out tasks with the robot's own services, actions and topics."""
