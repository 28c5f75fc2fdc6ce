# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Agent frameworks from PyPI, each in an environment of its own: a tool is called, and its result is answered.

The environments are in build/cache/frameworks, and are made by the first run.
"""

from __future__ import annotations

import json
from pathlib import Path
import shutil
import subprocess
import sys
import sysconfig
from typing import Any

import pytest
from scripted_engine import EOS, ScriptedEngine
from serving_http import Served
from test_tool_calls import CALL, Calling

pytestmark = pytest.mark.large

HERE = Path(__file__).parent
CACHE = HERE.parents[2] / 'build' / 'cache' / 'frameworks'


def python_with(package: str) -> Path:
    """Return the Python of an environment that has this package."""
    directory = CACHE / package
    python = directory / 'bin' / 'python'
    if not (directory / 'complete').exists():
        shutil.rmtree(directory, ignore_errors=True)
        subprocess.run([sys.executable, '-m', 'venv', directory], check=True)
        subprocess.run([python, '-m', 'pip', 'install', '--quiet', package], check=True)
        (directory / 'complete').touch()
    return python


def answer_of(package: str, script: str, *arguments: str) -> dict[str, Any]:
    """Return the last line that a script prints."""
    done = subprocess.run([python_with(package), HERE / 'frameworks' / script, *arguments],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


@pytest.fixture
def calling(engine: ScriptedEngine) -> ScriptedEngine:
    """Return an engine that calls a tool, and then says that it is done, three times."""
    engine.script = [*CALL.encode(), EOS, *[*b'Done.', EOS] * 3]
    engine.vocab_size, engine.context_length = 257, 200_000
    engine.tokenizer = Calling()
    return engine


def results(engine: ScriptedEngine) -> list[str]:
    """Return the results that the model was told."""
    return [message['content'] for dialogue in engine.dialogues for message in dialogue if message['role'] == 'tool']


def test_litellm(calling: ScriptedEngine, served: Served) -> None:
    answer = answer_of('litellm', 'ask_litellm.py', served.url)
    assert (answer['call'], answer['answer'], answer['streams']) == (['go', {'x': 1}], 'Done.', ['Done.', 'Done.'])
    assert answer['tokens'] > 6 and results(calling) == ['I am at 1.']


def test_rai(calling: ScriptedEngine, served: Served) -> None:
    assert answer_of('rai-core', 'ask_rai.py', served.url)['answer'] == 'Done.'
    assert results(calling) == ['I am at 1.']


def test_rosa(calling: ScriptedEngine, served: Served) -> None:
    assert answer_of('jpl-rosa', 'ask_rosa.py', served.url, sysconfig.get_path('purelib'))['answer'] == 'Done.'
    assert results(calling) == ['I am at 1.']
