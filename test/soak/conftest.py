# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A domain for these tests and their processes alone, on this machine."""

from __future__ import annotations

import os

from tinychat_ros.distribution import this_machine_only

os.environ.update(this_machine_only())
os.environ['ROS_DOMAIN_ID'] = str(1 + os.getpid() % 100)
