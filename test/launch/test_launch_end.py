# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What `ros2 launch` tells and returns where the node cannot start."""

from __future__ import annotations

import os
import subprocess

from launched import LAUNCH
import pytest

SOURCE = LAUNCH / 'chat.launch.py'


@pytest.mark.parametrize(('argument', 'reason'), [
    ('model:=/nonexistent', '/nonexistent is not a directory'),
    ('backend:=abacus', 'backend must be auto or cpu or cuda'),
    ('params_file:=/nonexistent.yaml', 'params_file: /nonexistent.yaml is not a file'),
    ('use_respawn:=flase', "Cannot convert value 'flase'"),
])
def test_what_the_user_can_mend_ends_the_launch_with_an_error(argument: str, reason: str) -> None:
    done = subprocess.run(['ros2', 'launch', str(SOURCE), argument], env=os.environ, timeout=60,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout.count(reason) == 1
    assert 'Traceback' not in done.stdout
