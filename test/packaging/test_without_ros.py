# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Where there is no ROS 2, its programs say so in one line."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize('module', ['chat_node', 'chat_client', 'agent.agent_node'])
def test_one_line_says_what_to_do(module: str) -> None:
    code = f"import sys; sys.modules['rclpy'] = None; from tinychat_ros.{module} import main"
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stderr.count('\n') == 1
    assert done.stderr.startswith('tinychat_ros: rclpy cannot be imported (') and 'source ROS 2' in done.stderr
