# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What a first try downloads is what was looked at when the lists were made: each file has its SHA-256."""
from __future__ import annotations

from importlib.metadata import requires
from pathlib import Path
import re

import pytest

TOOLS = Path(__file__).resolve().parents[2] / 'tools'


def names(file: str) -> set[str]:
    """Return the names of the packages in a list, as PEP 503 normalizes them."""
    found = re.findall(r'^([A-Za-z0-9][\w.-]*)', (TOOLS / file).read_text(), re.M)
    return {re.sub(r'[-_.]+', '-', name).lower() for name in found}


def test_the_lock_has_all_lists() -> None:
    wanted = names('build-wheels.txt') | names('ros-wheels.txt') | names('runtime-wheels.txt')
    assert wanted <= names('wheels.lock')


def test_the_runtime_list_is_what_the_package_requires() -> None:
    required = {re.split(r'[ ;<>=\[]', line)[0] for line in requires('tinychat_ros') or () if 'extra ==' not in line}
    assert names('runtime-wheels.txt') == required


@pytest.mark.parametrize('file', ['wheels.lock', 'model-wheel.txt'])
def test_every_wheel_has_a_version_and_checksums(file: str) -> None:
    text = re.sub(r'\s*\\\n\s*', ' ', (TOOLS / file).read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith('#')]
    assert lines
    for line in lines:
        assert re.match(r'[\w.-]+==[\w.]+ ', line), line
        assert re.search(r'--hash=sha256:[0-9a-f]{64}\b', line), line
