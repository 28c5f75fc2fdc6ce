# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The model's directory disappears while it is served: goals are answered until the node lets go of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
import shutil

from action_msgs.msg import GoalStatus
from robot import Robot

from tinychat_core.engine import Engine


def test_it_is_served_to_the_end(start: Callable[..., Robot], smollm2_checkpoint: Path,
                                 tmp_path: Path) -> None:
    model = tmp_path / 'model'
    shutil.copytree(smollm2_checkpoint, model, copy_function=shutil.copy)
    robot = start(Engine.open, model=str(model), max_seq_len=256, parallel=4)
    robot.set_parameter('sampling.temperature', 0.0)
    before = robot.send('What is the capital of France?', max_new_tokens=8).result()[1].text
    shutil.rmtree(model)
    for goal in [robot.send('What is the capital of France?', max_new_tokens=8) for _ in range(4)]:
        status, result = goal.result()
        assert (status, result.text) == (GoalStatus.STATUS_SUCCEEDED, before)
    robot.node.trigger_deactivate()
    robot.node.trigger_cleanup()
    robot.node.trigger_configure()
    assert robot.node.error.startswith(f'{model} is not a directory')
