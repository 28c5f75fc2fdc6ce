# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What differs between the distributions of ROS 2 that the node runs on, and nowhere else: Humble to Kilted."""

from __future__ import annotations

from collections.abc import Mapping
import os

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

__all__ = ['SubscriptionEventCallbacks', 'result_timeout']

# In rcl before Jazzy a result expires so long after the goal was accepted, and not after it ended
# (https://github.com/ros2/rcl/issues/1103, https://github.com/ros2/rcl/pull/1121).
COUNT_FROM_ACCEPTANCE = ('humble', 'iron')


def result_timeout(environment: Mapping[str, str] = os.environ) -> int:
    """
    Return for how long the action server keeps results [s].

    Ten seconds after the end are enough for who asks. Counted from acceptance they would be over before a long answer
    is, so there it is a quarter of an hour, which 2,000 goals in a row pay with some MB.
    """
    return 900 if environment.get('ROS_DISTRO') in COUNT_FROM_ACCEPTANCE else 10
