# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Files of somebody else: thousands of mutations at every door; `make attack` runs all of them and prints the table."""

from __future__ import annotations

import json
from pathlib import Path
import subprocess
import sys
from typing import Any

from doors import DOORS
import pytest

HERE = Path(__file__).parent
# 20,000 in all: most where a case is fast, and the code that reads is large.
CASES = {
    'checkpoint': 4000,
    'shards': 1500,
    'tokenizer': 5000,
    'template': 3000,
    'gguf': 3000,
    'huggingface': 1500,
    'notes': 500,
    'search': 500,
    'schema': 1000,
}
MOST_GROWN = 20.0  # [MB] that the second half of the cases may leave behind


def attack(door: str, cases: int, directory: Path) -> dict[str, Any]:
    """Return what the door's program prints; it runs by itself, so that a crash or a hang is an outcome, too."""
    run = subprocess.run(
        [sys.executable, str(HERE / 'doors.py'), door, '1', str(cases), str(directory / 'attack')],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-5000:]
    result: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return result


@pytest.mark.parametrize('door', DOORS)
@pytest.mark.slow
def test_a_door(door: str, tmp_path: Path) -> None:
    result = attack(door, 25, tmp_path)
    assert result['wrong'] == {}
    assert result.get('refused', 0) + result.get('taken', 0) == 25


@pytest.mark.large
@pytest.mark.parametrize('door', DOORS)
def test_a_door_for_long(door: str, tmp_path: Path, capsys: Any) -> None:
    result = attack(door, CASES[door], tmp_path)
    with capsys.disabled():
        print(
            f'\n{door}: {result["cases"]} files, {result.get("taken", 0)} taken, {result.get("refused", 0)} refused, '
            f'{len(result["wrong"])} wrong, {result["grown"]:+.1f} MB'
        )
    assert result['wrong'] == {}
    assert result['grown'] < MOST_GROWN
    assert result.get('taken')
    # A run whose notes are damaged begins anew.
    assert bool(result.get('refused')) == (door != 'notes')
