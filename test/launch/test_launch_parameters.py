# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A parameter comes from the argument that is given, else from params_file, else from the node."""

from __future__ import annotations

from pathlib import Path
import tempfile
from typing import Any

from launch import LaunchDescription
from launched import launched, WithClient
import pytest

from tinychat_ros.interfaces import GetModelInfo

PARAMS = """
/**:
  ros__parameters:
    max_seq_len: 256
    max_new_tokens: 7
    precision: W4A16
    sampling: {temperature: 0.0}
"""


@pytest.mark.launch_test
def generate_test_description() -> LaunchDescription:
    params_file = Path(tempfile.mkdtemp(prefix='tinychat_'), 'params.yaml')
    params_file.write_text(PARAMS)
    return launched(params_file=str(params_file), max_seq_len='512')


class TestParameters(WithClient):

    def test_an_argument_wins_over_the_file_and_one_left_out_does_not(self, proc_output: Any) -> None:
        proc_output.assertWaitFor('ready', timeout=60)
        info = self.call(GetModelInfo, 'get_model_info', GetModelInfo.Request())
        assert (info.context_length, info.precision) == (512, 'W4A16')
        assert self.ask('What is the capital of France?').new_tokens == 7
