# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The parameter files for the demo and for speech: what they set is a parameter, in its range, and off by default."""

from __future__ import annotations

from pathlib import Path
import runpy
from typing import Any

import pytest
import yaml

from tinychat_ros.parameters import TABLE

ROOT = Path(__file__).parents[2]
NAMES = ('demo', 'speech')


def values(name: str) -> dict[str, Any]:
    content = yaml.safe_load((ROOT / 'config' / f'{name}.yaml').read_text())['/**']['ros__parameters']
    return {f'{group}.{key}' if nested else group: value
            for group, entry in content.items() for nested in [isinstance(entry, dict)]
            for key, value in (entry.items() if nested else [('', entry)])}


@pytest.mark.parametrize('name', NAMES)
def test_each_value_is_one_that_the_node_takes(name: str) -> None:
    for parameter, value in values(name).items():
        declared = TABLE[parameter]
        assert type(value) is type(declared.default)
        assert declared.low is None or declared.high is None or declared.low <= value <= declared.high
        assert not declared.choices or value in declared.choices


@pytest.mark.parametrize('name', NAMES)
def test_circles_end_and_long_answers_too(name: str) -> None:
    given = values(name)
    assert given['sampling.dry_multiplier'] > 0 and TABLE['sampling.dry_multiplier'].default == 0
    assert given['max_new_tokens'] < TABLE['max_new_tokens'].default


def test_a_robot_that_speaks_says_sentences() -> None:
    assert values('speech')['sentence_topic'] and values('speech')['busy_policy'] == 'preempt'


def test_the_demo_takes_its_file() -> None:
    file = ROOT / 'config' / 'demo.yaml'
    assert "'config' / 'demo.yaml'" in (ROOT / 'launch' / 'chat_demo.launch.py').read_text()
    assert runpy.run_path(str(ROOT / 'tools' / 'demo.py'))['PARAMETERS'] == file
