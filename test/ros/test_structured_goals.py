# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A goal with a JSON schema or an expression SUCCEEDS only with an answer that matches."""

from __future__ import annotations

import json
from typing import Any

from action_msgs.msg import GoalStatus
from builtin_interfaces.msg import Duration
import pytest
from robot import Robot
from scripted_engine import ScriptedEngine
from waiting import wait_for

from tinychat_core import constraint
from tinychat_ros.interfaces import Chat, SamplingParams

SCHEMA = json.dumps({'type': 'object', 'properties': {'go': {'enum': ['hall', 'kitchen']}}, 'required': ['go'],
                     'additionalProperties': False})
GREEDY = SamplingParams(temperature=0.0)
ANSWER = '{"go": "hall"}'


@pytest.fixture
def engine() -> ScriptedEngine:
    """Return an engine that says what SCHEMA wants."""
    engine = ScriptedEngine()
    engine.words = [*ANSWER, *'kitcen']  # tokens are letters
    return engine


def test_what_checks_schemas_runs_before_the_first_goal(start: Any) -> None:
    """A goal callback waits for no process."""
    constraint._CHECKER.stop_if_idle()
    start()
    wait_for(lambda: constraint._CHECKER._process is not None)


def test_an_answer_that_matches_succeeds(robot: Robot) -> None:
    goal = robot.send(json_schema=SCHEMA)
    status, result = goal.result()
    assert (status, result.text, result.finish_reason) == (GoalStatus.STATUS_SUCCEEDED, ANSWER, 'stop')
    assert ''.join(piece.delta for piece in robot.pieces(goal.handle.goal_id)) == result.text


def test_what_the_model_would_say_beside_it_is_not_drawn(robot: Robot, engine: ScriptedEngine) -> None:
    engine.words = [*'well, noyes']
    assert robot.send(regex='yes|no', sampling=GREEDY).result()[1].text == 'no'


@pytest.mark.parametrize('cut', [{'max_new_tokens': 9}, {'stop': ['hall']}], ids=['length', 'stop text'])
def test_an_answer_that_is_cut_off_is_aborted_with_its_partial_text(robot: Robot, cut: dict) -> None:
    goal = robot.send(json_schema=SCHEMA, **cut)
    status, result = goal.result()
    assert (status, result.error_code) == (GoalStatus.STATUS_ABORTED, Chat.Result.STRUCTURE_INCOMPLETE)
    assert result.text.startswith('{"go": "')
    last = robot.pieces(goal.handle.goal_id)[-1]
    assert (last.finish_reason, last.error_code) == ('aborted', Chat.Result.STRUCTURE_INCOMPLETE)


def test_an_answer_that_matches_is_whole_wherever_it_was_cut(robot: Robot) -> None:
    status, result = robot.send(regex='[{"go: ]+', max_new_tokens=4).result()
    assert (status, result.text, result.finish_reason) == (GoalStatus.STATUS_SUCCEEDED, '{"go', 'length')


def test_an_expression_that_only_the_tokens_show_to_be_too_complex(robot: Robot, engine: ScriptedEngine) -> None:
    engine.words = ['a'] * 3
    status, result = robot.send(regex='(a{1000}){1000}').result()
    assert (status, result.error_code) == (GoalStatus.STATUS_ABORTED, Chat.Result.INVALID_GOAL)


def test_turns_of_a_conversation_may_each_have_a_structure(robot: Robot, engine: ScriptedEngine) -> None:
    robot.send('Where to?', json_schema=SCHEMA, conversation_id='kitchen').result()
    assert robot.send('Sure?', regex='[{]"', conversation_id='kitchen').result()[1].text == '{"'
    assert engine.dialogues[-1][1]['content'] == ANSWER


HOURS = '{"allOf":[{"type":"integer","multipleOf":9973},{"multipleOf":9967}]}'  # to compile


def test_a_schema_that_takes_hours_ends_its_goal_and_no_other(robot: Robot, engine: ScriptedEngine) -> None:
    goal = robot.send(json_schema=HOURS, time_limit=Duration(sec=60))
    other = robot.send(prompt='Hi')
    status, result = goal.result()
    assert (status, result.error_code) == (GoalStatus.STATUS_ABORTED, Chat.Result.INVALID_GOAL)
    assert 'json_schema is too complex' in result.error_msg
    assert other.result()[0] == GoalStatus.STATUS_SUCCEEDED


def test_a_cancel_ends_a_goal_whose_schema_is_compiled(robot: Robot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constraint, 'SECONDS', 1000.0)
    goal = robot.send(json_schema=HOURS)
    goal.told(1)
    goal.cancel()
    assert goal.result()[0] == GoalStatus.STATUS_CANCELED
