# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What `ros2 launch` tells and returns where the node cannot start."""

from __future__ import annotations

import os
import subprocess

from launched import LAUNCH
import pytest

SOURCE = LAUNCH / 'chat.launch.py'
WRONG = [
    ('backend:=abacus', 'backend must be auto or cpu or cuda'),
    ('params_file:=/nonexistent.yaml', 'params_file: /nonexistent.yaml is not a file'),
    ('use_respawn:=flase', "Cannot convert value 'flase'"),
    ('name:=my-robot', 'Invalid node name'),
]


def launch(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Return what a launch printed that ends by itself."""
    return subprocess.run(['ros2', 'launch', str(SOURCE), *arguments], env=os.environ, timeout=60, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.parametrize(('argument', 'reason'), WRONG)
def test_what_the_user_can_mend_is_one_line(argument: str, reason: str) -> None:
    done = launch(argument)
    assert done.stdout.count(reason) == 1
    assert 'Traceback' not in done.stdout
    assert 'Caught exception' not in done.stdout  # it would end a robot's whole launch


@pytest.mark.parametrize(('argument', 'reason'), [
    *WRONG, ('exit_on_failure:=true model:=/nonexistent', '/nonexistent is not a directory')])
def test_the_launch_ends_with_an_error_where_it_is_to_end_with_the_node(argument: str, reason: str) -> None:
    done = launch('shutdown_on_exit:=true', *argument.split())
    assert done.returncode == 1
    assert done.stdout.count(reason) == 1
    assert 'Traceback' not in done.stdout
