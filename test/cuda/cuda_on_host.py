# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The CUDA library of a machine without a device: its kernels run in the SIMT shim, its faults come when called."""
from __future__ import annotations

import os
from pathlib import Path
import subprocess
import sys

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / 'build' / 'native' / 'test' / 'cuda' / 'libtinychat_cuda_on_host.so'


def run(code: str, *arguments: object, fault: str = '', library: Path = LIBRARY) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process whose CUDA device has a fault of host/cuda_runtime.h."""
    assert LIBRARY.is_file(), 'build the C++ tests first: make native-tests'
    environment = {**os.environ, 'TINYCHAT_CUDA_LIBRARY': str(library), 'TINYCHAT_FAKE_CUDA': fault,
                   'PYTHONPATH': str(ROOT)}
    return subprocess.run([sys.executable, '-c', code, *map(str, arguments)], env=environment, capture_output=True,
                          text=True, timeout=100)
