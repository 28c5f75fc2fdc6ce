# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Configure, activate, deactivate, clean up; and what the interfaces say in each state."""

from __future__ import annotations

from threading import Event
from typing import Any

from action_msgs.msg import GoalStatus
from lifecycle_msgs.msg import State as LifecycleState, Transition
from lifecycle_msgs.srv import ChangeState, GetState
import pytest
from rcl_interfaces.srv import GetParameters
from robot import Robot
from scripted_engine import ScriptedEngine
from waiting import wait_for

from tinychat_core.engine import Canceled
from tinychat_core.errors import CheckpointError
from tinychat_ros.interfaces import Chat, GetModelInfo, State, Tokenize

CONFIGURE, ACTIVATE, DEACTIVATE, CLEANUP, SHUTDOWN = (
    Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE, Transition.TRANSITION_DEACTIVATE,
    Transition.TRANSITION_CLEANUP, Transition.TRANSITION_ACTIVE_SHUTDOWN)


def change(robot: Robot, transition: int) -> bool:
    """Ask for a transition; True where it succeeded."""
    return bool(robot.call(ChangeState, 'change_state', ChangeState.Request(
        transition=Transition(id=transition))).success)


def state_of(robot: Robot) -> str:
    """Return the label of the lifecycle state."""
    return str(robot.call(GetState, 'get_state', GetState.Request()).current_state.label)


def test_a_lifecycle_manager_starts_the_node(start: Any) -> None:
    robot = start(autostart=False)
    wait_for(lambda: robot.is_in(State.UNCONFIGURED))
    assert not robot.send().handle.accepted
    assert change(robot, CONFIGURE)
    wait_for(lambda: robot.is_in(State.INACTIVE))
    assert not robot.send().handle.accepted
    wait_for(lambda: robot.states[-1].last_rejection == '[inactive] the node is not active')
    assert change(robot, ACTIVATE)
    wait_for(lambda: robot.is_in(State.IDLE))
    assert robot.send().result()[0] == GoalStatus.STATUS_SUCCEEDED


def test_services_without_a_model_say_so(start: Any) -> None:
    robot = start(autostart=False)
    for kind, name in ((GetModelInfo, 'get_model_info'), (Tokenize, 'tokenize')):
        answer = robot.call(kind, name, kind.Request())
        assert (answer.success, answer.message) == (False, 'no model is loaded')


def test_state_and_parameters_answer_while_a_model_loads(start: Any, engine: ScriptedEngine) -> None:
    go_on = Event()

    def open_engine(*_: Any, progress: Any, **__: Any) -> ScriptedEngine:
        progress(0.5)
        assert go_on.wait(10)
        return engine

    robot = start(open_engine, autostart=False)
    changing = robot.client_node.create_client(ChangeState, 'tinychat/change_state').call_async(
        ChangeState.Request(transition=Transition(id=CONFIGURE)))
    wait_for(lambda: robot.is_in(State.LOADING) and robot.states[-1].load_progress == 0.5)
    assert robot.states[-1].model == 'scripted'
    assert state_of(robot) == 'configuring'
    request = GetParameters.Request(names=['max_new_tokens'])
    values = robot.call(GetParameters, 'get_parameters', request).values
    assert values[0].integer_value == 512
    assert not changing.done()
    go_on.set()
    wait_for(changing.done)
    assert state_of(robot) == 'inactive'


def test_loading_can_be_interrupted(start: Any) -> None:
    def open_engine(*_: Any, cancel: Any, **__: Any) -> Any:
        wait_for(cancel.is_set)
        raise Canceled

    robot = start(open_engine, autostart=False)
    robot.client_node.create_client(ChangeState, 'tinychat/change_state').call_async(
        ChangeState.Request(transition=Transition(id=CONFIGURE)))
    wait_for(lambda: robot.is_in(State.LOADING))
    robot.node.end()
    assert state_of(robot) == 'finalized'


@pytest.mark.parametrize('error', [CheckpointError('there is no such model'), RuntimeError('a defect')])
def test_a_model_that_cannot_be_loaded_leaves_the_node_ready_for_another(
        start: Any, engine: ScriptedEngine, error: Exception) -> None:
    errors = [error]

    def open_engine(*_: Any, **__: Any) -> ScriptedEngine:
        if errors:
            raise errors.pop()
        return engine

    robot = start(open_engine, autostart=False)
    assert not change(robot, CONFIGURE)
    wait_for(lambda: robot.is_in(State.ERROR))
    assert robot.states[-1].error
    assert state_of(robot) == 'unconfigured'
    assert change(robot, CONFIGURE)
    wait_for(lambda: robot.is_in(State.INACTIVE))
    assert robot.states[-1].error == ''


def test_a_transition_asked_for_during_another_waits_for_its_turn(start: Any, engine: ScriptedEngine) -> None:
    go_on = Event()

    def open_engine(*_: Any, progress: Any, **__: Any) -> ScriptedEngine:
        progress(0.5)
        assert go_on.wait(10)
        return engine

    robot = start(open_engine, awaits_idle=False)
    wait_for(lambda: robot.is_in(State.LOADING))
    changing = robot.client_node.create_client(ChangeState, 'tinychat/change_state').call_async(
        ChangeState.Request(transition=Transition(id=DEACTIVATE)))
    go_on.set()
    wait_for(changing.done)
    assert changing.result().success
    assert state_of(robot) == 'inactive'


def test_a_node_without_its_model_stays_until_it_has_one(start: Any, engine: ScriptedEngine) -> None:
    has_come = False

    def open_engine(*_: Any, **__: Any) -> Any:
        if not has_come:
            raise CheckpointError('there is no such model')
        return engine

    robot = start(open_engine)
    wait_for(lambda: robot.is_in(State.ERROR))
    assert robot.states[-1].error == 'there is no such model'
    # The state is published inside the transition, which ends after it.
    wait_for(lambda: state_of(robot) == 'unconfigured')
    assert not robot.gave_up
    has_come = True
    assert change(robot, CONFIGURE)
    assert change(robot, ACTIVATE)
    assert robot.send().result()[0] == GoalStatus.STATUS_SUCCEEDED


def test_without_its_model_a_node_ends_where_that_is_asked_for(start: Any) -> None:
    def open_engine(*_: Any, **__: Any) -> Any:
        raise CheckpointError('there is no such model')

    robot = start(open_engine, awaits_idle=False, exit_on_failure=True)
    wait_for(lambda: robot.gave_up)


def test_an_error_in_a_transition_is_recovered_from(start: Any, engine: ScriptedEngine,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Any) -> None:
        raise RuntimeError('a defect')

    robot = start(autostart=False)
    assert change(robot, CONFIGURE)
    with monkeypatch.context() as broken:
        broken.setattr(robot.node._server, 'open', fail)
        assert not change(robot, ACTIVATE)
    wait_for(lambda: robot.is_in(State.ERROR))
    assert (state_of(robot), engine.is_closed) == ('unconfigured', True)
    assert change(robot, CONFIGURE)
    assert change(robot, ACTIVATE)
    assert robot.send().result()[0] == GoalStatus.STATUS_SUCCEEDED


def test_deactivate_ends_running_and_waiting_goals(robot: Robot, engine: ScriptedEngine) -> None:
    engine.words, engine.stands_at = ['word '] * 1000, 3
    running, waiting = robot.send(), robot.send()
    running.await_text()
    assert waiting.handle.accepted
    assert change(robot, DEACTIVATE)
    for goal in (running, waiting):
        status, result = goal.result()
        assert (status, result.error_code) == (GoalStatus.STATUS_ABORTED, Chat.Result.DEACTIVATED)
        assert robot.pieces(goal.handle.goal_id)[-1].error_code == Chat.Result.DEACTIVATED
    assert running.result()[1].text.startswith('word ')
    wait_for(lambda: robot.is_in(State.INACTIVE))


def test_deactivate_can_let_the_running_goal_finish(start: Any, engine: ScriptedEngine) -> None:
    robot = start(on_deactivate='finish')
    engine.words, engine.stands_at = ['word '] * 50, 3
    running, waiting = robot.send(), robot.send()
    running.await_text()
    assert waiting.handle.accepted
    changing = robot.client_node.create_client(ChangeState, 'tinychat/change_state').call_async(
        ChangeState.Request(transition=Transition(id=DEACTIVATE)))
    assert waiting.result()[1].error_code == Chat.Result.DEACTIVATED
    assert not changing.done()
    engine.stands_at = None
    assert running.result()[1].text == 'word ' * 50
    wait_for(changing.done)
    assert changing.result().success


def test_a_hundred_times_with_a_goal_running(robot: Robot, engine: ScriptedEngine) -> None:
    engine.words, engine.stands_at = ['word '] * 1000, 3
    for _ in range(100):
        goal = robot.send()
        assert goal.handle.accepted
        assert change(robot, DEACTIVATE)
        assert goal.result()[1].error_code == Chat.Result.DEACTIVATED
        assert change(robot, ACTIVATE)
    engine.words, engine.stands_at = ['done'], None
    assert robot.send().result()[1].text == 'done'


def test_cleanup_gives_the_model_back_and_another_can_be_set(start: Any) -> None:
    engines = {'one': ScriptedEngine(), 'other': ScriptedEngine()}
    robot = start(lambda model, *_, **__: engines[model], model='one')
    assert change(robot, DEACTIVATE)
    assert change(robot, CLEANUP)
    assert engines['one'].is_closed
    wait_for(lambda: robot.is_in(State.UNCONFIGURED))
    robot.set_parameter('model', 'other')
    assert change(robot, CONFIGURE)
    wait_for(lambda: robot.is_in(State.INACTIVE))
    assert robot.states[-1].model == 'other'
    assert change(robot, ACTIVATE)
    engines['other'].words = ['I am the other one.']
    assert robot.send().result()[1].text == 'I am the other one.'


def test_shutdown_ends_the_running_goal_and_closes_the_model(robot: Robot, engine: ScriptedEngine) -> None:
    engine.prefill_delay = 60.0
    goal = robot.send()
    wait_for(lambda: engine.prefilled)
    assert change(robot, SHUTDOWN)
    assert goal.result()[1].error_code == Chat.Result.DEACTIVATED
    assert engine.is_closed
    assert robot.call(GetState, 'get_state', GetState.Request()).current_state.id == (
        LifecycleState.PRIMARY_STATE_FINALIZED)
