# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The agent's launch file and parameter file name parameters of the node, with its types and defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from test_launch_file import given_to, launch_file, started  # noqa: F401 - launch_file is a fixture
import yaml

from tinychat_ros.agent.parameters import PARAMETERS

ROOT = Path(__file__).parents[3]
DEFAULTS = {declared.name: declared.default for declared in PARAMETERS}


@pytest.fixture(autouse=True)
def the_agent_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('test_launch_file.LAUNCH', ROOT / 'launch' / 'agent.launch.py')


def test_the_file_has_the_defaults() -> None:
    given = yaml.safe_load((ROOT / 'config' / 'agent.yaml').read_text())['/**']['ros__parameters']
    assert given == {name: value for name, value in DEFAULTS.items() if name != 'system_prompt'}
    assert all(type(value) is type(DEFAULTS[name]) for name, value in given.items())


def test_each_argument_has_its_type(the_agent_s: None, launch_file: dict[str, Any]) -> None:  # noqa: F811
    types = {name: type(value) for name, value in DEFAULTS.items()} | {'use_sim_time': bool}
    assert {name: kind for name, (kind, _) in launch_file['PARAMETERS'].items()}.items() <= types.items()


def test_what_is_given_reaches_the_node(the_agent_s: None, launch_file: dict[str, Any]) -> None:  # noqa: F811
    (node,) = started(launch_file, tools_file='/tools.yaml', dry_run='true')
    assert (node.kwargs['executable'], node.kwargs['name']) == ('agent_node', 'tinychat_agent')
    assert node.kwargs['parameters'][0].args == (str(ROOT / 'config' / 'agent.yaml'),)
    assert given_to(node) == {'tools_file': '/tools.yaml', 'dry_run': True}
