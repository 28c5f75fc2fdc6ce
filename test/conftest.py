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
import sys

import pytest
import smollm2

HERE = Path(__file__).resolve().parent
if not [*(HERE.parent / 'tinychat_core').glob('_tinychat.*.so')]:  # `colcon build` leaves the extension elsewhere
    sys.path[:] = [path for path in sys.path if Path(path).resolve() != HERE.parent]
    os.environ['PYTHONSAFEPATH'] = '1'  # the same for processes that tests start
# Of test/requirements.txt, by the names to import.
REQUIRED = ('colcon_core', 'fastapi', 'httpx', 'hypothesis', 'jsonschema', 'langchain_ollama', 'langchain_openai',
            'llguidance', 'ollama', 'openai', 'playwright', 'py_trees', 'pydantic', 'regex', 'rosdep2', 'torch',
            'transformers', 'uvicorn')
MISSING = {name for name in REQUIRED if find_spec(name) is None}


def needs_what_is_missing() -> list[str]:
    """Return the test files that import what is missing, themselves or through a helper."""
    imports = {}
    for path in HERE.rglob('*.py'):
        nodes = [*walk(parse(path.read_text()))]
        names = [alias.name for node in nodes if isinstance(node, Import) for alias in node.names]
        names += [node.module for node in nodes if isinstance(node, ImportFrom) and node.module]
        imports[path] = {part for name in names for part in name.split('.')}
    # tinychat_core imports it only when an answer is to match something.
    lacking = MISSING | ({'constraint'} if 'llguidance' in MISSING else set())
    lacking |= {'server'} if MISSING & {'fastapi', 'uvicorn'} else set()
    while True:
        found = {path for path, names in imports.items() if names & lacking}
        grown = lacking | {path.stem for path in found}
        if grown == lacking:
            return sorted(str(path) for path in found)
        lacking = grown


collect_ignore = needs_what_is_missing() if MISSING else []


def pytest_report_header() -> list[str]:
    """Say what is left out."""
    if not MISSING:
        return []
    names = sorted(Path(path).stem for path in collect_ignore if Path(path).name.startswith('test_'))
    return [f'left out for want of {", ".join(sorted(MISSING))} (test/requirements.txt): {", ".join(names)}']


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
