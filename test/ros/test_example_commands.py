# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The example of typed commands, with the real model, says what docs/structured-answers.md shows."""

from __future__ import annotations

from pathlib import Path
import sys
from typing import Any

from processes import Process
import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_what_is_said_becomes_commands(start_node: Any) -> None:
    _, namespace = start_node('-p', 'precision:=W4A16')
    for said, printed in (
            ('go to the kitchen and pick up the cup', "Go(place='kitchen')\nHandle(action='pick', object='cup')\n"),
            ('put the cup down', "Handle(action='put', object='cup')\n")):
        commander = Process(sys.executable, str(ROOT / 'examples' / 'typed_commands.py'), said,
                            '--ros-args', '-r', f'__ns:={namespace}')
        assert commander.ends() == 0
        assert commander.output == printed
        page = (ROOT / 'docs' / 'structured-answers.md').read_text()
        assert f'"{said}"\n    ' + printed.strip().replace('\n', '\n    ') in page
