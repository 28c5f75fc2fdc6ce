# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
What all tests share: the real model, and what is tested where not everything is there.

`make test` has everything. `colcon test` runs in the source tree of a workspace, beside what colcon has built and with
the packages of a robot: what needs more than those is left out, and the first lines of the output say so.
"""

from __future__ import annotations

from ast import Import, ImportFrom, parse, walk
from importlib.util import find_spec
import logging
import os
from pathlib import Path
import re
import sys
from sysconfig import get_config_var

import pytest
import smollm2

HERE = Path(__file__).resolve().parent
# `colcon build` leaves the extension elsewhere, and that of another Python is none.
IN_WORKSPACE = not (HERE.parent / 'tinychat_core' / f'_tinychat{get_config_var("EXT_SUFFIX")}').exists()
if IN_WORKSPACE:
    sys.path[:] = [path for path in sys.path if Path(path).resolve() != HERE.parent]
    os.environ['PYTHONSAFEPATH'] = '1'  # the same for processes that tests start
# There is a worker for each core: threads of torch and NumPy would only wait for each other.
if 'PYTEST_XDIST_WORKER' in os.environ:
    os.environ |= {'OMP_NUM_THREADS': '1', 'OPENBLAS_NUM_THREADS': '1'}
# The names to import of test/requirements.txt, where they differ from those to install.
IMPORTED_AS = {'colcon_common_extensions': 'colcon_core', 'pillow': 'PIL', 'pytest_xdist': 'xdist', 'rosdep': 'rosdep2'}


def required() -> set[str]:
    """Return the names to import of test/requirements.txt."""
    lines = (HERE / 'requirements.txt').read_text().splitlines()
    names = {re.split('[<>=]', line)[0].replace('-', '_') for line in lines if line and not line.startswith('#')}
    return {IMPORTED_AS.get(name, name) for name in names}


MISSING = {name for name in required() if find_spec(name) is None}


def needs_what_is_missing() -> list[str]:
    """Return the test files that import what is missing, themselves or through a helper."""
    imports = {}
    folders = {path.name for path in HERE.rglob('*') if path.is_dir()}
    for path in HERE.rglob('*.py'):
        nodes = [*walk(parse(path.read_text()))]
        names = [alias.name for node in nodes if isinstance(node, Import) for alias in node.names]
        for node in nodes:
            if isinstance(node, ImportFrom) and node.module:
                names += [node.module, *(alias.name for alias in node.names if node.module in folders)]
        imports[path] = {part for name in names for part in name.split('.')}
    # tinychat_core imports it only when an answer is to match something, or a model is to call tools.
    lacking = MISSING | ({'constraint', 'tool_calls'} if 'llguidance' in MISSING else set())
    lacking |= {'server'} if MISSING & {'fastapi', 'uvicorn'} else set()
    while True:
        found = {path for path, names in imports.items() if names & lacking}
        grown = lacking | {path.stem for path in found}
        if grown == lacking:
            # pytest imports conftest.py before it asks what to leave out of a folder.
            return sorted(str(path.parent if path.name == 'conftest.py' else path) for path in found)
        lacking = grown


collect_ignore = needs_what_is_missing() if MISSING else []
if IN_WORKSPACE:  # These tests run a library that only `make test` builds.
    collect_ignore += [str(HERE / 'cuda'), str(HERE / 'ros' / 'test_faults_gpu.py')]


def pytest_report_header() -> list[str]:
    """Say what is left out."""
    if not collect_ignore:
        return []
    paths = [path for ignored in map(Path, collect_ignore) for path in (ignored, *ignored.rglob('*.py'))]
    names = sorted({path.stem for path in paths if path.name.startswith('test_')})
    missing = ', '.join([*sorted(MISSING), *(['the CUDA library of `make test`'] if IN_WORKSPACE else [])])
    return [f'left out for want of {missing} (test/requirements.txt): {", ".join(names)}']


@pytest.fixture(scope='session')
def smollm2_gguf() -> Path:
    """Return the GGUF file of SmolLM2-135M-Instruct, Q4_1."""
    return smollm2.gguf()


@pytest.fixture(scope='session')
def smollm2_checkpoint() -> Path:
    """Return the split checkpoint of that file."""
    return smollm2.checkpoint()


@pytest.fixture
def core_log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """
    Return what the core logs.

    A ROS 2 distribution loads launch's plugin into every pytest, and its class of loggers passes nothing on.
    """
    for name in logging.root.manager.loggerDict:
        if name.startswith('tinychat_core'):
            logging.getLogger(name).propagate = True
    return caplog
