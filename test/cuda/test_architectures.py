# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What nvcc is told to compile for is what it knows, from CUDA 11.8 on: tried with one that only tells what that is."""
from __future__ import annotations

import os
from pathlib import Path
import subprocess

from cuda_on_host import ROOT
import pytest

SCRIPT = f"""
cmake_minimum_required(VERSION 3.18)
include({ROOT}/csrc/cuda/architectures.cmake)
tinychat_cuda_code(code ${{NVCC}} "${{ARCHS}}")
message("code: ${{code}}")
"""
CUDA_11_8 = '35 37 50 52 53 60 61 62 70 72 75 80 86 87 89 90'
CUDA_13 = '75 80 86 87 88 89 90 100 103 110 120 121'


def code(known: str, archs: str, directory: Path) -> str:
    """Return what CMake says to `archs` where nvcc lists the `known` ones."""
    nvcc, script = directory / 'nvcc', directory / 'script.cmake'
    nvcc.write_text('#!/bin/sh\n[ "$1" = --list-gpu-arch ] && ' + f"printf 'compute_%s\\n' {known}\n")
    nvcc.chmod(0o755)
    script.write_text(SCRIPT)
    done = subprocess.run(['cmake', f'-DNVCC={nvcc}', f'-DARCHS={archs}', '-P', script], capture_output=True, text=True,
                          timeout=60)
    return done.stderr.replace('-gencode=arch=', '')


def real(*archs: int) -> str:
    return ';'.join(f'compute_{arch},code=sm_{arch}' for arch in archs)


@pytest.mark.parametrize(('known', 'newer'), [(CUDA_11_8, []), (CUDA_13, [110, 120, 121])], ids=['11.8', '13'])
def test_all_are_those_that_it_knows_and_ptx_of_90(known: str, newer: list[int], tmp_path: Path) -> None:
    """PTX of a newer one would leave out the devices between 90 and that one."""
    expected = f'code: {real(80, 86, 87, 89, 90, *newer)};compute_90,code=compute_90\n'
    assert code(known, 'all', tmp_path).endswith(expected)


def test_all_without_those_that_it_does_not_know(tmp_path: Path) -> None:
    """PTX of the newest one that it knows."""
    assert code('75 80 87', 'all', tmp_path).endswith(f'code: {real(80, 87)};compute_87,code=compute_87\n')
    assert code('87 90a', 'all', tmp_path).endswith(f'code: {real(87)};compute_87,code=compute_87\n')


def test_a_list(tmp_path: Path) -> None:
    assert code(CUDA_11_8, '87;120', tmp_path) == f'code: {real(87)}\n'
    assert code(CUDA_13, '87;120', tmp_path) == f'code: {real(87, 120)}\n'


def test_native_is_asked_of_nvcc_itself(tmp_path: Path) -> None:
    assert code('', 'native', tmp_path) == 'code: -arch=native\n'


def test_none_of_a_list_is_an_error(tmp_path: Path) -> None:
    assert 'TINYCHAT_CUDA_ARCHS=120: this nvcc knows none of it' in code(CUDA_11_8, '120', tmp_path)


def test_make_builds_again_for_other_architectures() -> None:
    """What the backend says where it is not built: TINYCHAT_CUDA_ARCHS=native make setup."""
    done = subprocess.run(['make', '-n', 'setup'], cwd=ROOT, env={**os.environ, 'TINYCHAT_CUDA_ARCHS': '80;75'},
                          capture_output=True, text=True, timeout=60)
    assert 'build_ext' in done.stdout
