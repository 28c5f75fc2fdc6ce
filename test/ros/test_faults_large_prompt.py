# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A prompt of a million bytes is refused in words, and the node keeps serving."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from action_msgs.msg import GoalStatus
from robot import Robot

from tinychat_core.engine import Engine
from tinychat_ros.interfaces import Chat


def test_a_megabyte_of_text(start: Callable[..., Robot], smollm2_checkpoint: Path) -> None:
    robot = start(Engine.open, model=str(smollm2_checkpoint), max_seq_len=256)
    status, result = robot.send('All the world is a stage. ' * 40_000).result()
    assert (status, result.error_code) == (GoalStatus.STATUS_ABORTED, Chat.Result.PROMPT_TOO_LONG)
    assert 'has more tokens than the context of 256' in result.error_msg
    assert robot.send(max_new_tokens=2).result()[0] == GoalStatus.STATUS_SUCCEEDED
