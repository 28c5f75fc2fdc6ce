# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A field that nothing serves yet is refused with that reason; its default, and what is trivially true, is accepted."""

from __future__ import annotations

from typing import Any

import pytest
from robot import Robot

from tinychat_ros.interfaces import Chat, Message, SamplingParams
from tinychat_ros.unserved import unserved_field

UNSERVED = {
    'adapter': {'adapter': 'kitchen'},
    'sampling.typical_p': {'sampling': SamplingParams(typical_p=0.5)},
    'sampling.frequency_penalty': {'sampling': SamplingParams(frequency_penalty=-1.0)},
    'sampling.presence_penalty': {'sampling': SamplingParams(presence_penalty=float('nan'))},
    'sampling.bias_tokens': {'sampling': SamplingParams(bias_tokens=[1])},
    'sampling.bias_values': {'sampling': SamplingParams(bias_values=[1.0])},
}
SERVED: list[dict[str, Any]] = [
    {}, {'tools': '[]'}, {'thinking': Chat.Goal.THINKING_ON}, {'local_only': True},
    {'sampling': SamplingParams(typical_p=1.0)}, {'messages': [Message(role='assistant', content='a')]}]


@pytest.mark.parametrize(('field', 'values'), UNSERVED.items(), ids=UNSERVED.keys())
def test_what_nothing_serves_yet_is_refused_by_its_name(field: str, values: dict[str, Any]) -> None:
    reason = unserved_field(Chat.Goal(**values))
    assert reason.startswith(field) and 'not served by this version' in reason


@pytest.mark.parametrize('values', SERVED, ids=str)
def test_defaults_and_what_is_trivially_true_pass(values: dict[str, Any]) -> None:
    assert unserved_field(Chat.Goal(**values)) == ''


def test_the_node_rejects_a_goal_with_such_a_field(robot: Robot) -> None:
    assert not robot.send(adapter='kitchen').handle.accepted


def test_a_local_answer_says_where_it_was_made(robot: Robot) -> None:
    goal = robot.send(local_only=True)
    assert goal.result()[1].served_by == 'local'
    assert [piece.served_by for piece in robot.pieces(goal.handle.goal_id)][-2:] == ['', 'local']
