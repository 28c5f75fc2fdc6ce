# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The folders of csrc include each other in one direction only: a folder includes itself and those listed for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
import re

import pytest

CSRC = Path(__file__).resolve().parents[1] / 'csrc'
SUFFIXES = {'.h', '.cpp', '.inl', '.cu', '.cuh'}
# The bindings, which lie in csrc itself, include the folders that need no CUDA toolkit.
ALLOWED = {
    '.': {'decoder', 'cpu', 'cuda_api'},
    'decoder': set(),
    'cpu': {'decoder'},  # kernels.cpp includes one header of cpu/simd, which the build names by a macro
    'cpu/simd': {'cpu'},
    'cuda_api': {'decoder'},
    'cuda/primitives': {'decoder'},
    'cuda/elementwise': {'decoder', 'cuda/primitives'},
    'cuda/gemm': {'decoder', 'cuda/primitives', 'cuda/elementwise'},
    'cuda/attention': {'decoder', 'cuda/primitives'},
    'cuda/runtime': {'decoder', 'cuda_api', 'cuda/primitives', 'cuda/elementwise', 'cuda/gemm', 'cuda/attention'},
}


def sources() -> list[Path]:
    return sorted(path for path in CSRC.rglob('*') if path.suffix in SUFFIXES)


def included_folders(source: Path) -> Iterator[str]:
    """Yield the folder of each project header that a source includes; system headers are in none."""
    for name in re.findall(r'^\s*#\s*include\s*"([^"]+)"', source.read_text(), re.MULTILINE):
        assert (CSRC / name).is_file(), f'{name} is not given from csrc/ on'
        yield Path(name).parent.as_posix()


def test_every_folder_is_listed() -> None:
    assert {path.relative_to(CSRC).parent.as_posix() for path in sources()} == set(ALLOWED)


@pytest.mark.parametrize('source', sources(), ids=lambda path: str(path.relative_to(CSRC)))
def test_includes_follow_the_arrows(source: Path) -> None:
    folder = source.relative_to(CSRC).parent.as_posix()
    assert set(included_folders(source)) - {folder} <= ALLOWED[folder]


def reachable(folder: str) -> set[str]:
    found: set[str] = set()
    waiting = [folder]
    while waiting:
        new = ALLOWED[waiting.pop()] - found
        found |= new
        waiting += new
    return found


@pytest.mark.parametrize('folder', sorted(ALLOWED))
def test_no_folder_reaches_itself(folder: str) -> None:
    assert folder not in reachable(folder)
