# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""docs/parameters.md and docs/agent.md say what the nodes' tables say."""

from __future__ import annotations

from pathlib import Path
import runpy

from tinychat_ros.agent.parameters import PARAMETERS as AGENT_PARAMETERS
from tinychat_ros.parameters import PARAMETERS

TOOL = runpy.run_path(str(Path(__file__).parents[2] / 'tools' / 'parameter_table.py'))


def test_the_page_is_up_to_date() -> None:
    assert TOOL['PAGE'].read_text() == TOOL['page'](), 'run `python3 tools/parameter_table.py`'
    assert TOOL['AGENT_PAGE'].read_text() == TOOL['agent_page'](), 'run `python3 tools/parameter_table.py`'


def test_every_parameter_is_there() -> None:
    text = TOOL['page']()
    assert all(f'`{declared.name}`' in text and declared.description in text for declared in PARAMETERS)
    assert all(f'`{declared.name}`' in TOOL['agent_page']() for declared in AGENT_PARAMETERS)
