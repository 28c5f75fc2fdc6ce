# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A goal with top_logprobs: one entry for each new token, with the alternatives."""

from __future__ import annotations

import pytest
from robot import Robot


def test_a_result_has_one_for_each_new_token(robot: Robot) -> None:
    result = robot.send(top_logprobs=2).result()[1]
    assert [each.text for each in result.logprobs] == ['Robots ', 'need ', 'maps.', '']
    assert len(result.logprobs) == result.new_tokens
    for each in result.logprobs:
        assert each.logprob == pytest.approx(0.0, abs=1e-6) and each.top_tokens[0] == each.token
        assert list(each.top_logprobs) == pytest.approx([0.0, -100.0], abs=1e-4)


def test_a_goal_without_has_none(robot: Robot) -> None:
    assert robot.send().result()[1].logprobs == []


def test_more_than_twenty_are_refused(robot: Robot) -> None:
    assert not robot.send(top_logprobs=21).handle.accepted
    assert 'top_logprobs must be 0 .. 20' in robot.states[-1].last_rejection
