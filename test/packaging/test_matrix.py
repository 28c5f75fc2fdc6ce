# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What tools/test_matrix.sh says of a combination that it cannot run."""

from __future__ import annotations

from pathlib import Path
import subprocess

SCRIPT = Path(__file__).parents[2] / 'tools' / 'test_matrix.sh'


def matrix(*combinations: str) -> tuple[int, str, str]:
    """Return exit code, output and error output."""
    done = subprocess.run([str(SCRIPT), *combinations], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def test_an_unknown_distribution_is_one_line_before_anything_runs() -> None:
    code, output, error = matrix('3.99-kilted', '3.12-foxy')
    assert (code, output, error.count('\n')) == (2, '', 1)
    assert "'3.12-foxy' is no combination" in error


def test_a_python_that_is_not_here_is_one_row_and_no_failure() -> None:
    code, output, error = matrix('3.99-kilted', '3.98-jazzy')
    assert (code, error) == (0, '')
    assert output.rstrip().endswith('| 3.99 | kilted | no Python 3.99 here | | | |\n'
                                    '| 3.98 | jazzy | no Python 3.98 here | | | |')
