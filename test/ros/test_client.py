# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The terminal client, with a scripted engine, or with a node that fails it."""

from __future__ import annotations

from collections.abc import Iterator
import os
import subprocess
from typing import Any

from processes import BIN, client_process, new_namespace
import pytest
import rclpy
from rclpy.action import ActionServer
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from robot import Robot
from scripted_engine import ScriptedEngine
from waiting import wait_for

from tinychat_ros.chat_client import ChatClient, ClientError
from tinychat_ros.interfaces import Chat, State


def said(robot: Robot, lines: str, *arguments: str) -> None:
    """Let the client ask these lines."""
    asking = client_process(robot.node.get_namespace(), *arguments, stdin=subprocess.PIPE)
    assert asking.process.stdin is not None
    asking.process.stdin.write(lines.encode())
    asking.process.stdin.close()
    assert asking.ends() == 0


def test_lines_of_stdin_are_one_conversation(robot: Robot, engine: ScriptedEngine) -> None:
    said(robot, 'one\n\ntwo\n')
    said(robot, 'three\n')
    assert [[message['content'] for message in dialogue] for dialogue in engine.dialogues] == [
        ['one'], ['one', 'Robots need maps.', 'two'], ['three']]


def test_a_named_conversation_goes_on(robot: Robot, engine: ScriptedEngine) -> None:
    said(robot, 'one\n', '--conversation', 'kitchen')
    said(robot, '', 'two', '--conversation', 'kitchen')
    assert [message['content'] for message in engine.dialogues[-1]] == ['one', 'Robots need maps.', 'two']


@pytest.mark.parametrize(('output', 'said'), [('a reader that has gone', ''), ('/dev/full', 'No space left')])
def test_an_output_that_takes_nothing_is_no_traceback(robot: Robot, output: str, said: str) -> None:
    asking = [str(BIN / 'chat_client'), 'Hi', '--ros-args', '-r', f'__ns:={robot.node.get_namespace()}']
    reading, writing = os.pipe()
    os.close(reading)
    if output == '/dev/full':
        os.close(writing)
        writing = os.open(output, os.O_WRONLY)
    done = subprocess.run(asking, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writing)
    assert done.returncode == 1 and said in done.stderr
    assert 'Traceback' not in done.stderr and 'Exception' not in done.stderr


def test_a_closed_stdin_is_said(robot: Robot) -> None:
    asking = [str(BIN / 'chat_client'), '--ros-args', '-r', f'__ns:={robot.node.get_namespace()}']
    done = subprocess.run(['sh', '-c', 'exec "$0" "$@" <&-', *asking], stderr=subprocess.PIPE, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, 'chat_client: stdin is closed, and no prompt was given\n')


@pytest.fixture
def mute_node() -> Iterator[str]:
    """Return the namespace of a node that is idle and answers no goal."""
    namespace = new_namespace()
    node = Node('tinychat', namespace=namespace)
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    node.create_publisher(State, '~/state', latched).publish(State(state=State.IDLE))
    # An action server that is never spun.
    action: Any = ActionServer(node, Chat, '~/chat', lambda handle: None)
    yield namespace
    action.destroy()
    node.destroy_node()


@pytest.mark.parametrize(('arguments', 'said'), [
    (['--seed', '99999999999999999999', 'hi'], 'is out of range'),
    (['--top-k', '4294967301', 'hi'], 'is out of range'),
    (['--node', 'bad name', 'hi'], 'bad name'),
    (['hi', '--ros-args', 'hello'], 'hello'),
])
def test_arguments_that_are_wrong_are_told_in_words(arguments: list[str], said: str) -> None:
    client = client_process('/nobody', *arguments)
    assert client.ends() != 0
    assert said in client.output and 'Traceback' not in client.output


def test_a_goal_without_an_answer_ends_in_words(mute_node: str) -> None:
    node = rclpy.create_node('chat_client', namespace=mute_node)
    client = ChatClient(node, 'tinychat', 0.5)
    wait_for(lambda: finds(client))  # on a busy machine this takes longer than the timeout
    with pytest.raises(ClientError, match=r'^tinychat does not say whether it accepts the goal; try again$'):
        client.ask(Chat.Goal(prompt='Hello'))
    node.destroy_node()


def finds(client: ChatClient) -> bool:
    """Tell whether the client has found its node before the timeout."""
    try:
        client.wait()
    except ClientError:
        return False
    return True
