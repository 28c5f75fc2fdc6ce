# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""One line a goal at INFO, whatever became of it; the status of goals is told again."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

from action_msgs.msg import GoalStatus, GoalStatusArray
import pytest
from rclpy.qos import qos_profile_action_status_default
from robot import Robot
from scripted_engine import ScriptedEngine
from std_msgs.msg import String
from waiting import wait_for


def lines(capfd: pytest.CaptureFixture[str]) -> list[str]:
    """Return what the log has of goals, without time and name."""
    return re.findall(r'\[INFO\].*?: (goal .*)', capfd.readouterr().err)


def test_every_end_is_one_line(robot: Robot, engine: ScriptedEngine, capfd: pytest.CaptureFixture[str]) -> None:
    answered = robot.send('secret')
    answered.result()
    invalid = robot.send('x' * 200)  # the context has 128
    invalid.result()
    engine.words, engine.stands_at = ['word '] * 100, 3
    running, waiting = robot.send(), robot.send()
    running.await_text()
    waiting.cancel()
    waiting.result()
    running.cancel()
    running.result()
    found: list[str] = []
    wait_for(lambda: found.extend(lines(capfd)) or len(found) == 4)
    ids = [str(UUID(bytes=bytes(goal.handle.goal_id.uuid))) for goal in (answered, invalid, waiting, running)]
    assert [line.split(':')[0] for line in found] == [f'goal {each}' for each in ids]
    assert re.fullmatch(r'goal \S+: stop, \d+ prompt tokens \(0 reused\), 4 new, \d\.\d\d s \(\d\.\d\d s waiting\)',
                        found[0])
    assert ': aborted (PROMPT_TOO_LONG), ' in found[1]
    assert ': canceled, 0 prompt tokens' in found[2] and ' 0 new, ' in found[2]
    assert ': canceled, ' in found[3] and ' 3 new, ' in found[3]
    assert 'secret' not in ''.join(found) and 'word' not in ''.join(found)


def test_a_backend_that_fails_is_an_error_in_the_log(robot: Robot, engine: ScriptedEngine,
                                                     capfd: pytest.CaptureFixture[str]) -> None:
    engine.fails_at = 1
    robot.send('secret').result()
    log = ''

    def heard() -> bool:
        nonlocal log
        log += capfd.readouterr().err
        return 'goal ' in log

    wait_for(heard)
    errors = re.findall(r'\[ERROR\].*?: (.*)', log)
    assert errors == ["the backend failed: RuntimeError('the decoder broke')"]


def test_a_prompt_is_one_too(robot: Robot, capfd: pytest.CaptureFixture[str]) -> None:
    prompts = robot.client_node.create_publisher(String, 'tinychat/prompt', 10)
    wait_for(prompts.get_subscription_count)
    prompts.publish(String(data='Hello'))
    wait_for(lambda: robot.tokens and robot.tokens[-1].last)
    found: list[str] = []
    wait_for(lambda: found.extend(lines(capfd)) or found)
    assert len(found) == 1 and found[0].startswith(f'goal {UUID(bytes=bytes(robot.tokens[-1].goal_id.uuid))}: stop, ')


def test_a_client_that_missed_the_status_hears_it_again(robot: Robot, engine: ScriptedEngine) -> None:
    engine.words, engine.stands_at = ['word '] * 100, 3
    statuses: list[Any] = []
    robot.client_node.create_subscription(GoalStatusArray, 'tinychat/chat/_action/status', statuses.append,
                                          qos_profile_action_status_default)
    goal = robot.send()
    goal.await_text()
    count = len(statuses)
    wait_for(lambda: len(statuses) > count + 1)
    assert statuses[-1].status_list[-1].status == GoalStatus.STATUS_EXECUTING
    goal.cancel()
