# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What a machine lacks for a build is one line that says what to do."""

from __future__ import annotations

import os
from pathlib import Path
import platform
import subprocess
import sys
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / 'tools' / 'check_tools.sh'


def check(**environment: str) -> Any:
    return subprocess.run([SCRIPT], env=os.environ | {'PYTHON': sys.executable, 'ROS_DISTRO': ''} | environment,
                          capture_output=True, text=True, check=False)


def one_line(done: Any) -> str:
    assert done.returncode == 2 and not done.stdout and done.stderr.count('\n') == 1
    return str(done.stderr)


@pytest.mark.parametrize('distribution', ['', 'humble', 'jazzy', 'kilted', 'rolling'])
def test_supported_distributions_pass(distribution: str) -> None:
    done = check(ROS_DISTRO=distribution)
    assert done.returncode == 0 and not done.stderr


@pytest.mark.parametrize('distribution', ['foxy', 'galactic'])
def test_a_distribution_that_is_too_old(distribution: str) -> None:
    assert f'ROS 2 {distribution} is too old; source Humble or newer' in one_line(check(ROS_DISTRO=distribution))


def test_a_python_that_is_too_old(tmp_path: Path) -> None:
    old = tmp_path / 'python3.9'
    old.write_text('#!/bin/sh\ncase "$*" in *version_info*) exit 1;; --version) echo Python 3.9.18;; esac\n')
    old.chmod(0o755)
    assert 'Python 3.9.18 is too old; use 3.10 or newer' in one_line(check(PYTHON=str(old)))


@pytest.mark.parametrize('told', ['aarch64', 'Python 3.15'])
def test_a_machine_or_a_python_without_wheels(told: str, tmp_path: Path) -> None:
    """Unless a distribution is sourced, which needs no wheels."""
    other = tmp_path / 'python3'
    other.write_text(f'#!/bin/sh\ncase "$*" in *platform.machine*) echo {told};; esac\n')
    other.chmod(0o755)
    assert f'there are no ROS 2 wheels for {told} (' in one_line(check(PYTHON=str(other), ROS='wheels'))
    assert check(PYTHON=str(other), ROS='jazzy').returncode == 0


def test_this_python_has_wheels_if_the_processor_has() -> None:
    assert check(ROS='wheels').returncode == (0 if platform.machine() == 'x86_64' else 2)


def test_missing_tools_are_named_with_their_packages() -> None:
    assert 'sudo apt install g++' in one_line(check(CXX='no-such-compiler'))
