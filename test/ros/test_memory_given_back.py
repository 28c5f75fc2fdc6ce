# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Cleanup gives back what the model took, however often."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from weakref import ref

from rclpy.lifecycle import TransitionCallbackReturn
from robot import Robot
from waiting import wait_for

from tinychat_core.engine import Engine
from tinychat_core.resident_memory import resident_bytes
from tinychat_ros.interfaces import State

SUCCESS = TransitionCallbackReturn.SUCCESS


def test_after_each_of_four_loads(start: Callable[..., Robot], smollm2_checkpoint: Path) -> None:
    robot = start(Engine.open, model=str(smollm2_checkpoint), max_seq_len=512)
    after = []
    for _ in range(4):
        assert robot.send('Tell me a story.', max_new_tokens=30).result()[1].new_tokens > 5
        loaded = resident_bytes()
        assert robot.node.trigger_deactivate() == robot.node.trigger_cleanup() == SUCCESS
        wait_for(lambda: robot.is_in(State.UNCONFIGURED))
        after.append(resident_bytes())
        assert loaded - after[-1] > 70e6  # of 87 MB of weights and 11 MB of cache
        assert robot.node.trigger_configure() == robot.node.trigger_activate() == SUCCESS
        wait_for(lambda: robot.is_in(State.IDLE))
    assert after[-1] - after[1] < 5e6


def test_nothing_holds_an_engine_that_was_in_use(start: Callable[..., Robot], smollm2_checkpoint: Path) -> None:
    robot = start(Engine.open, model=str(smollm2_checkpoint), max_seq_len=256)
    robot.send('Tell me a story.', max_new_tokens=3, conversation_id='kitchen').result()
    robot.send('Tell me a story.', max_new_tokens=200).await_text()
    assert robot.node._service is not None
    engine = ref(robot.node._service.engine)
    assert robot.node.trigger_deactivate() == robot.node.trigger_cleanup() == SUCCESS
    wait_for(lambda: engine() is None)
