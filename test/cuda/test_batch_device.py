# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The batches of test_batch.cpp on a real device; tools/check_cuda_device.sh builds the program."""
from __future__ import annotations

import subprocess

from cuda_on_host import ROOT
import pytest

from tinychat_core.cuda import usable_library

PROGRAM = ROOT / 'build' / 'native' / 'test' / 'cuda' / 'test_cuda_batch'


@pytest.mark.gpu
def test_batches_on_the_device() -> None:
    library = usable_library('cuda', 'W4', None)
    assert library is not None and PROGRAM.is_file(), 'build the C++ tests first: make native-tests'
    done = subprocess.run([PROGRAM, library], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
