# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The simulated robot of the examples: tasks move it, and it draws its track."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
import signal
import sys
from typing import Any
import xml.etree.ElementTree as ElementTree

from agent_world import Agent, HERE
from processes import new_namespace, node_process, Process
import pytest
from waiting import wait_for

from tinychat_ros.interfaces import TaskStep

EXAMPLES = Path(__file__).parents[3] / 'examples'


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Agent]]:
    """Return a function that starts the robot and an agent for the chat node of a namespace."""
    running: list[Any] = []

    def begin(namespace: str) -> Agent:
        robot = Process(sys.executable, str(EXAMPLES / 'agent_robot.py'), '--track', str(tmp_path / 'track.svg'),
                        '--ros-args', '-r', f'__ns:={namespace}')
        running.append(robot)
        agent = Agent(namespace, tools_file=str(EXAMPLES / 'agent_tools.yaml'), max_steps=6)
        running.append(agent)
        return agent

    yield begin
    for one in reversed(running):
        if isinstance(one, Agent):
            one.close()
        else:
            one.send_signal(signal.SIGINT)
            assert one.ends() == 0


def pictured(track: Path) -> tuple[float, str]:
    """Return how far the track goes to the right [pixels], and the texts."""
    (line,) = (element for element in ElementTree.parse(track).iter() if element.tag.endswith('polyline'))
    columns = [float(point.partition(',')[0]) for point in line.attrib['points'].split()]
    texts = ' '.join(element.text or '' for element in ElementTree.parse(track).iter() if element.tag.endswith('text'))
    return columns[-1] - columns[0], texts


def test_a_task_moves_the_robot(start: Callable[..., Agent], tmp_path: Path) -> None:
    namespace = new_namespace()
    chat = Process(sys.executable, str(HERE / 'scripted_chat.py'), '--ros-args', '-r', f'__ns:={namespace}')
    try:
        chat.says('ready')
        agent = start(namespace)
        calls = [['drive', {'duration': 4.0}], ['light', {'data': True}],
                 ['turn', {'angular': {'z': 0.5236}, 'duration': 0.3}], ['gripper', {'data': True}], ['position', {}],
                 ['battery', {}]]
        _, result = agent.send([{'calls': [call]} for call in calls]).result(60.0)
        assert [step.status for step in result.steps] == [TaskStep.SUCCEEDED] * 6, result.steps
        assert '"x":' in result.steps[4].result and '"percentage":' in result.steps[5].result
        wait_for(lambda: 'gripper closed' in pictured(tmp_path / 'track.svg')[1])
        ahead, texts = pictured(tmp_path / 'track.svg')
        assert ahead > 0 and 'light on' in texts
    finally:
        chat.process.kill()
        chat.ends()


@pytest.mark.slow
def test_the_real_model_carries_out_a_task(start: Callable[..., Agent], smollm2_checkpoint: Path,
                                           tmp_path: Path) -> None:
    """The whole way with the default model of 135 million parameters: it is able to do one thing at a time."""
    namespace = new_namespace()
    chat = node_process(namespace, smollm2_checkpoint, '-p', 'precision:=W4A16')
    try:
        agent = start(namespace)
        _, result = agent.send('Drive two metres ahead.').result(60.0)
        assert [(step.call.name, step.status) for step in result.steps] == [('drive', TaskStep.SUCCEEDED)]
        assert result.finish_reason == 'done' and result.report
        wait_for(lambda: pictured(tmp_path / 'track.svg')[0] > 0)
    finally:
        chat.send_signal(signal.SIGTERM)
        chat.ends()
