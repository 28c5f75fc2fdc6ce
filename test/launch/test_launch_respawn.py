# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""With use_respawn:=true a node that was killed comes back."""

from __future__ import annotations

import os
import signal
from typing import Any

from launch import LaunchDescription
from launched import launched, WithClient
import pytest


@pytest.mark.launch_test
def generate_test_description() -> LaunchDescription:
    return launched(use_respawn='true', log_level='debug')


class TestRespawn(WithClient):

    def test_it_is_started_again(self, proc_info: Any, proc_output: Any) -> None:
        proc_output.assertWaitFor('ready', timeout=60)
        before = {info.pid for info in proc_info}
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        proc_info.assertWaitForShutdown('chat_node', timeout=30)
        proc_info.assertWaitForStartup('chat_node', timeout=30)
        assert 'Paris' in self.ask('What is the capital of France?').text
