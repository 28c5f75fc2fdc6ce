# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The wheel that tools/build_wheel.sh makes, in an empty environment without a compiler and without ROS 2."""

from __future__ import annotations

import os
from pathlib import Path
import subprocess
import sys
import tarfile
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.large


@pytest.fixture(scope='module')
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory with the sdist and the wheel that was built from it."""
    out = tmp_path_factory.mktemp('dist')
    subprocess.run([ROOT / 'tools' / 'build_wheel.sh', sys.executable, out], check=True)
    return out


@pytest.fixture(scope='module')
def programs(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the programs of an environment with the wheel alone. Its dependencies come from the network."""
    venv = tmp_path_factory.mktemp('environment')
    subprocess.run([sys.executable, '-m', 'venv', venv], check=True)
    (wheel,) = dist.glob('*.whl')
    subprocess.run([venv / 'bin' / 'pip', 'install', '--quiet', '--only-binary=:all:', wheel], check=True)
    return venv / 'bin'


def run(program: Path, *arguments: object) -> Any:
    """Run a program of the environment, with nothing of ours around it."""
    environment = {'PATH': str(program.parent), 'HOME': '/nowhere'}
    return subprocess.run([program, *map(str, arguments)], cwd='/', env=environment, capture_output=True, text=True,
                          check=False)


def test_the_wheel_is_for_older_systems_of_this_processor(dist: Path) -> None:
    (wheel,) = dist.glob('*.whl')
    assert 'manylinux_2_' in wheel.name and wheel.name.endswith(f'_{os.uname().machine}.whl')


def test_the_sdist_has_all_sources(dist: Path) -> None:
    (sdist,) = dist.glob('*.tar.gz')
    with tarfile.open(sdist) as archive:
        names = {name.partition('/')[2] for name in archive.getnames()}
    tracked = subprocess.run(['git', 'ls-files', 'csrc', 'tinychat_core', 'tinychat_ros', 'launch', 'config', 'sros2'],
                             cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert {*tracked, 'setup.py', 'package.xml', 'LICENSE'} <= names


def test_it_answers(programs: Path, smollm2_checkpoint: Path) -> None:
    done = run(programs / 'tinychat', 'chat', smollm2_checkpoint, '--temperature', 0, '--max-new-tokens', 8, '--prompt',
               'What is the capital of France?')
    assert done.returncode == 0, done.stderr
    assert 'Paris' in done.stdout


@pytest.mark.parametrize(('extra', 'modules'), [
    ('server', 'fastapi, uvicorn'), ('structure', 'llguidance'), ('vision', 'PIL'), ('fleet', 'httpx, jsonschema')])
def test_an_extra_installs_what_its_part_imports(programs: Path, dist: Path, extra: str, modules: str) -> None:
    (wheel,) = dist.glob('*.whl')
    subprocess.run([programs / 'pip', 'install', '--quiet', '--only-binary=:all:', f'{wheel}[{extra}]'], check=True)
    done = run(programs / 'python', '-c', f'import {modules}')
    assert done.returncode == 0, done.stderr


def test_the_extra_quantize_can_be_resolved(programs: Path, dist: Path) -> None:
    """Not installed: torch and what it needs are gigabytes."""
    (wheel,) = dist.glob('*.whl')
    done = subprocess.run([programs / 'pip', 'install', '--dry-run', '--only-binary=:all:', f'{wheel}[quantize]'],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    installed = done.stdout.rpartition('Would install')[2]
    assert ' torch-' in installed and ' transformers-' in installed


def test_without_ros_the_node_says_what_it_needs(programs: Path) -> None:
    done = run(programs / 'chat_node')
    assert done.returncode == 1 and done.stderr.startswith('tinychat_ros: rclpy cannot be imported')
