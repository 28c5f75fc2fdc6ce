# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The example of typed commands, with the real model, says what docs/structured-answers.md shows."""

from __future__ import annotations

from pathlib import Path
import runpy
import sys
from typing import Any

from jsonschema.validators import validator_for
from processes import Process
import pytest

ROOT = Path(__file__).parents[2]


EXAMPLE = ROOT / 'examples' / 'typed_commands.py'


@pytest.mark.slow
def test_what_is_said_becomes_commands(start_node: Any) -> None:
    _, namespace = start_node('-p', 'precision:=W4A16')
    for said, printed in (
            ('take the bottle to the hall', "Handle(action='pick', object='bottle')\nGo(place='hall')\n"),
            ('put the cup down', "Handle(action='put', object='cup')\n"),
            ('dance', 'nothing to do\n')):
        commander = Process(sys.executable, str(EXAMPLE), said, '--ros-args', '-r', f'__ns:={namespace}')
        assert commander.ends(120.0) == 0
        assert commander.output == printed
        page = (ROOT / 'docs' / 'structured-answers.md').read_text()
        assert f'"{said}"\n    ' + printed.strip().replace('\n', '\n    ') in page


@pytest.mark.parametrize('said', ['dance', 'asdf', 'Go home.', 'drive to the bathroom', "Don't go to the hall!",
                                  'Don\u2019t go to the hall', 'never put the cup down', 'Stop, not the kitchen',
                                  "you can't go to the kitchen", "The robot shouldn't touch the cup", 'avoid the hall',
                                  'wait, forget the cup', 'nobody goes to the kitchen',
                                  'the hall instead of the kitchen'])
def test_where_nothing_can_be_meant_no_command_matches(said: str) -> None:
    schema = runpy.run_path(str(EXAMPLE))['schema'](said)
    matches = validator_for(schema)(schema).is_valid
    assert matches([])
    assert not matches([{'action': 'go', 'place': 'hall'}])
    assert not matches([{'action': 'put', 'object': 'cup'}])


def test_only_what_was_named_can_be_commanded() -> None:
    schema = runpy.run_path(str(EXAMPLE))['schema']('Take the BOTTLE to the hall.')
    matches = validator_for(schema)(schema).is_valid
    assert matches([])
    assert matches([{'action': 'pick', 'object': 'bottle'}, {'action': 'go', 'place': 'hall'}])
    assert not matches([{'action': 'go', 'place': 'kitchen'}])
    assert not matches([{'action': 'pick', 'object': 'cup'}])
