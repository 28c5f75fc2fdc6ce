# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A file of the model is changed under the running node: goals fail, /diagnostics tells, the node goes on."""

from __future__ import annotations

from collections.abc import Callable
import os
from pathlib import Path
import shutil

from action_msgs.msg import GoalStatus
from diagnostic_msgs.msg import DiagnosticStatus
import pytest
from rclpy.lifecycle import TransitionCallbackReturn
from robot import Robot
from test_diagnostics import reports
from waiting import wait_for

from tinychat_core.engine import Engine
from tinychat_ros.interfaces import Chat, State

PROMPT = 'What is the capital of France?'
FAILED = (GoalStatus.STATUS_ABORTED, Chat.Result.BACKEND_FAILED)


@pytest.fixture
def model(smollm2_checkpoint: Path, tmp_path: Path) -> Path:
    """Return a copy that may be damaged."""
    return Path(shutil.copytree(smollm2_checkpoint, tmp_path / 'model', copy_function=shutil.copy))


@pytest.fixture
def shard(model: Path) -> Path:
    """Return a file that every token needs."""
    return max(model.glob('*.safetensors'), key=lambda path: path.stat().st_size)


@pytest.fixture
def robot(start: Callable[..., Robot], model: Path) -> Robot:
    """Return a robot that serves it."""
    robot = start(Engine.open, model=str(model), max_seq_len=1024, parallel=4)
    robot.set_parameter('sampling.temperature', 0.0)
    return robot


@pytest.fixture
def before(robot: Robot) -> str:
    """Return what it answers."""
    status, result = robot.send(PROMPT, max_new_tokens=8).result()
    assert status == GoalStatus.STATUS_SUCCEEDED
    return str(result.text)


def check_it_goes_on(robot: Robot, shard: Path, whole: Path, before: str) -> None:
    """Check that the next goal fails, that /diagnostics says why, and that the mended model is served again."""
    heard = reports(robot)
    status, result = robot.send(PROMPT).result()
    assert (status, result.error_code) == FAILED
    assert result.error_msg == f'{shard} has been changed while it was in use; load the model again'
    wait_for(lambda: heard and (heard[-1].level, heard[-1].message) == (DiagnosticStatus.ERROR, result.error_msg))
    assert robot.is_in(State.IDLE)
    shutil.copy(whole, shard)
    for transition in ('deactivate', 'cleanup', 'configure', 'activate'):
        assert getattr(robot.node, f'trigger_{transition}')() == TransitionCallbackReturn.SUCCESS
    assert robot.send(PROMPT, max_new_tokens=8).result()[1].text == before
    wait_for(lambda: heard[-1].level == DiagnosticStatus.OK)


def test_cut_short_between_goals(robot: Robot, shard: Path, smollm2_checkpoint: Path, before: str) -> None:
    os.truncate(shard, shard.stat().st_size // 2)
    check_it_goes_on(robot, shard, smollm2_checkpoint / shard.name, before)


@pytest.mark.parametrize('count', [1, 4])
def test_cut_short_in_the_middle_of_answers(robot: Robot, shard: Path, smollm2_checkpoint: Path, before: str,
                                            count: int) -> None:
    """The decoder's threads read beyond the end of the file."""
    goals = [robot.send(f'Tell me a very long story about robot {i}.', max_new_tokens=900) for i in range(count)]
    for goal in goals:
        goal.await_text()
    os.truncate(shard, 0)
    for goal in goals:
        status, result = goal.result()
        assert (status, result.error_code) == FAILED
        # Cut short for who reads beyond its end first, changed for who looks at its size first.
        assert result.error_msg in [f'{shard} has been {what} while it was in use; load the model again'
                                    for what in ('cut short', 'changed')]
    check_it_goes_on(robot, shard, smollm2_checkpoint / shard.name, before)


def test_written_to(robot: Robot, shard: Path, smollm2_checkpoint: Path, before: str) -> None:
    with open(shard, 'r+b') as file:
        file.write(b'\0')
    check_it_goes_on(robot, shard, smollm2_checkpoint / shard.name, before)


def test_replaced_by_another_file(robot: Robot, shard: Path, model: Path, before: str) -> None:
    """What was loaded is still whole, and answers as before; that it is not what lies on the disk is told."""
    heard = reports(robot)
    os.replace(model / 'tinychat.json', shard)
    status, result = robot.send(PROMPT, max_new_tokens=8).result()
    assert (status, result.text) == (GoalStatus.STATUS_SUCCEEDED, before)
    warning = f'{shard} has been replaced or removed; the model that was loaded still answers'
    wait_for(lambda: heard and (heard[-1].level, heard[-1].message) == (DiagnosticStatus.WARN, warning))
