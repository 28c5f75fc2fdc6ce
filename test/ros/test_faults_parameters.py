# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters change in mid-generation: the goal that runs keeps what it was accepted with."""

from __future__ import annotations

from action_msgs.msg import GoalStatus
from robot import Robot
from scripted_engine import ScriptedEngine
from waiting import wait_for

from tinychat_ros.interfaces import Chat


def test_the_running_goal_keeps_its_values_and_the_next_has_the_new_ones(robot: Robot,
                                                                         engine: ScriptedEngine) -> None:
    engine.words, engine.delay, engine.stands_at = ['word '] * 100, 0.005, 3
    running = robot.send()
    running.await_text()
    for name, value in (('max_new_tokens', 3), ('sampling.temperature', 0.0), ('sampling.seed', 7),
                        ('publish_period', 10.0), ('system_prompt', 'Be brief.'), ('time_limit', 0.001)):
        assert robot.set_parameter(name, value) == ''
    engine.stands_at = None
    status, result = running.result()
    assert (status, result.new_tokens) == (GoalStatus.STATUS_SUCCEEDED, 101)
    assert len(robot.pieces(running.handle.goal_id)) > 5
    robot.set_parameter('time_limit', 0.0)
    result = robot.send().result()[1]
    assert (result.new_tokens, result.seed) == (3, 7)
    assert engine.dialogues[-1][0] == {'role': 'system', 'content': 'Be brief.'}


def test_the_busy_policy_holds_from_the_next_goal_on(robot: Robot, engine: ScriptedEngine) -> None:
    engine.prefill_delay = 60.0
    first = robot.send('first')
    wait_for(lambda: engine.prefilled)
    second = robot.send('second')
    assert second.handle.accepted
    robot.set_parameter('busy_policy', 'reject')
    assert not robot.send('third').handle.accepted
    robot.set_parameter('busy_policy', 'preempt')
    fourth = robot.send('fourth')
    for goal in (first, second):
        assert goal.result()[1].error_code == Chat.Result.PREEMPTED
    fourth.cancel()
    assert fourth.result()[0] == GoalStatus.STATUS_CANCELED


def test_what_a_model_was_loaded_with_cannot_change(robot: Robot, engine: ScriptedEngine) -> None:
    engine.words, engine.stands_at = ['word '] * 50, 3
    running = robot.send()
    running.await_text()
    for name, value in (('model', 'other'), ('threads', 1), ('max_seq_len', 16)):
        assert 'clean up first' in robot.set_parameter(name, value)
    engine.stands_at = None
    assert running.result()[0] == GoalStatus.STATUS_SUCCEEDED
