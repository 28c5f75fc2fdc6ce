# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""tools/check_cuda_resources.py on what nvcc prints: a kernel that spills, or that an architecture lacks, fails."""
from __future__ import annotations

from pathlib import Path
import subprocess
import sys

from cuda_on_host import ROOT

KERNEL = """ptxas info    : Compiling entry function '{name}' for 'sm_{arch}'
ptxas info    : Function properties for {name}
    {stack} bytes stack frame, {spilled} bytes spill stores, {spilled} bytes spill loads
ptxas info    : Used {registers} registers, used 1 barriers, {stack} bytes cumulative stack size, 512 bytes smem
"""


def report(directory: Path, *kernels: tuple[str, int, int, int, int]) -> tuple[int, str]:
    """Return the exit code and what is printed of (name, arch, registers, stack, spilled)."""
    (directory / 'log').write_text(''.join(KERNEL.format(name=name, arch=arch, registers=registers, stack=stack,
                                                         spilled=spilled)
                                           for name, arch, registers, stack, spilled in kernels))
    done = subprocess.run([sys.executable, ROOT / 'tools' / 'check_cuda_resources.py', directory / 'log'],
                          capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout


def test_the_most_of_all_architectures(tmp_path: Path) -> None:
    code, printed = report(tmp_path, ('_Z1av', 80, 40, 0, 0), ('_Z1av', 90, 48, 16, 0))
    assert code == 0
    line, total = printed.splitlines()
    assert ' '.join(line.split()) == 'a 48 registers 512 bytes shared 16 bytes stack'
    assert total == '1 kernels for sm_80, sm_90'


def test_a_spilled_register_fails(tmp_path: Path) -> None:
    code, printed = report(tmp_path, ('_Z1av', 80, 40, 8, 4))
    assert code == 1 and 'spills 8 bytes' in printed


def test_a_missing_architecture_fails(tmp_path: Path) -> None:
    code, printed = report(tmp_path, ('_Z1av', 80, 40, 0, 0), ('_Z1bv', 80, 40, 0, 0), ('_Z1bv', 90, 40, 0, 0))
    assert code == 1 and 'not built for sm_90' in printed


def test_an_empty_log_fails(tmp_path: Path) -> None:
    assert report(tmp_path)[0] == 1
