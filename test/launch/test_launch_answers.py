# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The launched node answers a goal in its namespace, and ends cleanly."""

from __future__ import annotations

from typing import Any
import unittest

from launch import LaunchDescription
import launch_testing
from launched import launched, WithClient
import pytest


@pytest.mark.launch_test
def generate_test_description() -> LaunchDescription:
    return launched()


class TestServing(WithClient):

    def test_a_goal_is_answered(self, proc_output: Any) -> None:
        proc_output.assertWaitFor('ready', timeout=60)
        result = self.ask('What is the capital of France?')
        assert 'Paris' in result.text
        assert result.finish_reason == 'stop'


@launch_testing.post_shutdown_test()
class TestEnd(unittest.TestCase):

    def test_the_node_has_ended_cleanly(self, proc_info: Any) -> None:
        launch_testing.asserts.assertExitCodes(proc_info)
