# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Four goals run at the same time: each has its own end, and ~/state and /diagnostics tell of all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from action_msgs.msg import GoalStatus
import pytest
from robot import Goal, Robot
from scripted_engine import ScriptedEngine
from waiting import wait_for

from tinychat_core.errors import BackendFailedError
from tinychat_ros.interfaces import Chat, State

PLACES = 4
SUCCEEDED, CANCELED, ABORTED = (GoalStatus.STATUS_SUCCEEDED, GoalStatus.STATUS_CANCELED, GoalStatus.STATUS_ABORTED)


@pytest.fixture
def engine() -> ScriptedEngine:
    engine = ScriptedEngine(context_length=100_000)
    engine.parallel = PLACES
    engine.words, engine.is_endless = ['word '], True
    engine.delay = 0.002
    return engine


def long_goals(robot: Robot, count: int = PLACES) -> list[Goal]:
    """Return goals in the middle of their answers."""
    goals = [robot.send(f'goal {i}', max_new_tokens=100_000) for i in range(count)]
    for goal in goals:
        goal.await_text()
    return goals


def ends(goals: list[Goal]) -> list[tuple[int, int]]:
    """Return the terminal states and error codes."""
    return [(status, result.error_code) for status, result in (goal.result() for goal in goals)]


def test_the_state_names_all_that_run(robot: Robot) -> None:
    goals = long_goals(robot)
    ids = {bytes(goal.handle.goal_id.uuid) for goal in goals}
    wait_for(lambda: {bytes(each.uuid) for each in robot.states[-1].running_goals} == ids)
    assert robot.states[-1].state == State.BUSY
    fifth = robot.send('fifth', max_new_tokens=1)
    wait_for(lambda: robot.states[-1].queued_goals == 1)
    assert fifth.told(1)[0].goals_ahead == PLACES
    goals[1].cancel()
    assert fifth.result()[0] == SUCCEEDED
    for goal in goals:
        goal.cancel()
    assert ends(goals) == PLACES * [(CANCELED, Chat.Result.NONE)]
    wait_for(lambda: robot.is_in(State.IDLE))
    assert not robot.states[-1].running_goals


def test_pieces_of_all_answers_come_in_order(robot: Robot) -> None:
    goals = [robot.send(f'goal {i}', max_new_tokens=20 + i) for i in range(PLACES)]
    results = [goal.result() for goal in goals]
    assert [result.new_tokens for _, result in results] == [20 + i for i in range(PLACES)]
    for goal, (_, result) in zip(goals, results, strict=True):
        pieces = robot.pieces(goal.handle.goal_id)
        assert ''.join(piece.delta for piece in pieces) == result.text == 'word ' * result.new_tokens
        assert [piece.index for piece in pieces] == [*range(len(pieces))]
        assert [piece.last for piece in pieces].count(True) == 1


def deactivate(robot: Robot, engine: ScriptedEngine) -> None:
    robot.node.trigger_deactivate()


def shut_down(robot: Robot, engine: ScriptedEngine) -> None:
    robot.node.end()


def break_device(robot: Robot, engine: ScriptedEngine) -> None:
    def fail(*_: Any) -> Any:
        raise BackendFailedError('the device has failed')

    assert robot.node._service is not None
    robot.node._service._scheduler._run = fail


@pytest.mark.parametrize(('act', 'code'), [(deactivate, Chat.Result.DEACTIVATED), (shut_down, Chat.Result.DEACTIVATED),
                                           (break_device, Chat.Result.BACKEND_FAILED)])
def test_each_goal_has_its_terminal_state(robot: Robot, engine: ScriptedEngine,
                                          act: Callable[[Robot, ScriptedEngine], None], code: int) -> None:
    goals = long_goals(robot)
    act(robot, engine)
    assert ends(goals) == PLACES * [(ABORTED, code)]
    assert all(result.text.startswith('word ') for _, result in (goal.result() for goal in goals))


def test_a_deactivation_lets_all_finish(start: Any) -> None:
    robot = start(on_deactivate='finish')
    goals = [robot.send(f'goal {i}', max_new_tokens=100) for i in range(PLACES)]
    for goal in goals:
        goal.await_text()
    robot.node.trigger_deactivate()
    assert ends(goals) == PLACES * [(SUCCEEDED, Chat.Result.NONE)]


def test_a_newer_goal_takes_the_place_of_the_oldest(start: Any) -> None:
    robot = start(busy_policy='preempt')
    goals = long_goals(robot)
    newer = robot.send('newer', max_new_tokens=1)
    assert newer.result()[0] == SUCCEEDED
    assert ends(goals[:1]) == [(ABORTED, Chat.Result.PREEMPTED)]
    for goal in goals[1:]:
        goal.cancel()
    assert ends(goals[1:]) == 3 * [(CANCELED, Chat.Result.NONE)]


def test_prompts_of_the_topic_are_answered_one_after_the_other(robot: Robot) -> None:
    """Who listens to ~/tokens without a goal of its own could not tell two answers apart."""
    from std_msgs.msg import String

    publisher = robot.client_node.create_publisher(String, 'tinychat/prompt', 10)
    wait_for(lambda: robot.node.count_publishers('tinychat/prompt'))
    robot.set_parameter('max_new_tokens', 30)
    wait_for(publisher.get_subscription_count)
    for text in ('one', 'two'):
        publisher.publish(String(data=text))
    wait_for(lambda: [token.last for token in robot.tokens].count(True) == 2)
    ids = [bytes(token.goal_id.uuid) for token in robot.tokens]
    assert ids == sorted(ids, key=ids.index)
