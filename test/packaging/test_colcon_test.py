# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""`colcon test` runs where test/requirements.txt is not installed: what needs it is left out, nothing fails."""

from __future__ import annotations

import os
from pathlib import Path
import subprocess
import sys

import pytest

ROOT = Path(__file__).resolve().parents[2]
WITHOUT = """
import importlib.util, sys
sys.path.insert(0, 'test')
from conftest import required

hidden, find_spec = required() - {'pytest'}, importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name in hidden else find_spec(name, *rest)

class Hide:
    def find_spec(self, name, *rest):
        if name.partition('.')[0] in hidden:
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)

for name in [*sys.modules]:
    if name == 'conftest' or name.partition('.')[0] in hidden:
        del sys.modules[name]
sys.meta_path.insert(0, Hide())
import pytest
sys.exit(pytest.main(['--collect-only', '-q']))
"""


@pytest.mark.slow
def test_what_needs_a_missing_package_is_left_out() -> None:
    done = subprocess.run([sys.executable, '-c', WITHOUT], cwd=ROOT, capture_output=True, text=True, check=False,
                          env=os.environ | {'PYTEST_DISABLE_PLUGIN_AUTOLOAD': '1'})
    assert done.returncode == 0, done.stdout[-3000:]
    assert 'test/core/server/test_page.py' not in done.stdout
    assert 'test/core/test_sampler.py::' in done.stdout
