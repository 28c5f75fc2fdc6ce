# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The demo prints an answer and ends with it."""

from __future__ import annotations

import os
import subprocess

from launched import greedy, LAUNCH
import pytest
import smollm2


@pytest.mark.parametrize(('arguments', 'code', 'output'), [
    (['prompt:=What is the capital of France?'], 0, 'Paris'),
    (['prompt:=What is the capital of France?', 'namespace:=kitchen', 'max_seq_len:=8'], 1, 'aborted]'),
])
def test_the_demo(arguments: list[str], code: int, output: str) -> None:
    command = ['ros2', 'launch', str(LAUNCH / 'chat_demo.launch.py'), f'model:={smollm2.checkpoint()}',
               f'params_file:={greedy()}', *arguments]
    done = subprocess.run(command, env=os.environ, timeout=120, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False)
    assert done.returncode == code, done.stdout
    assert output in done.stdout
