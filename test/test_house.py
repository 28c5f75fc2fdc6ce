# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
The house has three floors, and its arrows point downwards.

tinychat_ros -> tinychat_core -> csrc. Only the top floor knows ROS, only csrc/bindings*.cpp know Python, and
what serves a prompt needs no training framework.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
import re
import subprocess
import sys

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROS = {'rclpy', 'ament_index_python', 'launch', 'launch_ros', 'tinychat_interfaces', 'tinychat_ros'}
WORKSHOP = {'torch', 'transformers', 'huggingface_hub', 'matplotlib'}  # Never loaded on a robot.
SUFFIXES = {'.h', '.cpp', '.inl', '.cu', '.cuh'}
SOURCES = sorted(path for path in (ROOT / 'csrc').rglob('*') if path.suffix in SUFFIXES)


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob('*.py'))


def imports(path: Path) -> Iterator[str]:
    """Yield the top-level package of each import, those inside functions included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition('.')[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition('.')[0]


def includes(path: Path) -> set[str]:
    return set(re.findall(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', path.read_text(), re.MULTILINE))


def loaded(statement: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has after a statement."""
    code = f'{statement}\nimport sys; print(*sys.modules)'
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True)
    return {name.partition('.')[0] for name in done.stdout.split()}


@pytest.mark.parametrize('path', modules('tinychat_core'), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_runtime_knows_no_ros(path: Path) -> None:
    assert not ROS & set(imports(path))


@pytest.mark.parametrize('path', modules('tinychat_ros'), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_node_goes_through_the_runtime(path: Path) -> None:
    """The node never reaches past tinychat_core, neither for the decoder nor for a framework."""
    assert not WORKSHOP & set(imports(path))
    assert '_tinychat' not in path.read_text()


@pytest.mark.parametrize('module', ['tinychat_core.engine', 'tinychat_core.cli', 'tinychat_ros.chat_node'])
def test_serving_loads_no_framework(module: str) -> None:
    assert not WORKSHOP & loaded(f'import {module}')


def test_the_terminal_loads_no_ros() -> None:
    assert not ROS & loaded('from tinychat_core import cli; from tinychat_core.commands import chat, import_')


@pytest.mark.parametrize('path', SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_decoder_knows_neither_torch_nor_python(path: Path) -> None:
    found = includes(path)
    assert not [name for name in found if name.startswith(('torch/', 'ATen/', 'c10/'))]
    if not path.name.startswith('bindings'):
        assert not [name for name in found if name == 'Python.h' or name.startswith('pybind11')]


@pytest.mark.parametrize('path', [path for path in modules('tinychat_ros') if path.parent.name != 'agent'],
                         ids=lambda path: path.name)
def test_the_chat_node_knows_no_agent(path: Path) -> None:
    """The agent is a client of the chat node, which may run without it or on another computer."""
    assert 'tinychat_ros.agent' not in path.read_text()


def test_there_is_a_house() -> None:
    """An empty list of sources would let all of the above pass."""
    assert len(SOURCES) > 10 and len(modules('tinychat_core')) > 10 and len(modules('tinychat_ros')) > 3
