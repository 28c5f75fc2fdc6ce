# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The node and the client as a user starts them: processes of their own, with the real model."""

from __future__ import annotations

from pathlib import Path
import signal
from typing import Any

from processes import BIN, client_process as client, new_namespace, Process, STORY
import pytest


def test_an_answer_streams_and_ends_with_its_figures(start_node: Any) -> None:
    _, namespace = start_node('-p', 'precision:=W4A16')
    asking = client(namespace, 'What is the capital of France?', '--max-new-tokens', '40')
    assert asking.ends() == 0
    assert 'Paris' in asking.output
    assert 'tokens/s, ' in asking.output.splitlines()[-1]


def test_ctrl_c_in_the_client_cancels_the_goal(start_node: Any) -> None:
    _, namespace = start_node()
    asking = client(namespace, STORY, '--max-new-tokens', '4000')
    asking.says(' the ')
    asking.send_signal(signal.SIGINT)
    assert asking.ends() == 1
    assert asking.output.rstrip().endswith('canceled]')
    assert client(namespace, 'Hello', '--max-new-tokens', '3').ends() == 0


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_goal_before_the_context(start_node: Any, number: signal.Signals) -> None:
    node, namespace = start_node()
    asking = client(namespace, STORY, '--max-new-tokens', '4000')
    asking.says(' the ')
    node.send_signal(number)
    assert asking.ends() == 1
    assert 'aborted] the node is shutting down' in asking.output
    assert node.ends() == 0


def test_a_client_that_is_killed_leaves_the_node_serving(start_node: Any) -> None:
    _, namespace = start_node('-p', 'max_new_tokens:=300')
    asking = client(namespace, STORY)
    asking.says(' the ')
    asking.process.kill()
    asking.ends()
    assert client(namespace, 'Hello', '--max-new-tokens', '3').ends() == 0


def test_a_prompt_beyond_the_context_is_aborted(start_node: Any) -> None:
    _, namespace = start_node('-p', 'max_seq_len:=64')
    asking = client(namespace, 'robot ' * 100)
    assert asking.ends() == 1
    assert 'aborted] the prompt has' in asking.output


def test_the_memory_plan_is_in_the_log(start_node: Any) -> None:
    node, _ = start_node('-p', 'max_seq_len:=64')
    node.says('positions, buffers')
    plan = next(line for line in node.output.splitlines() if 'positions, buffers' in line)
    assert '[INFO]' in plan and 'weights ' in plan and '4 KV caches ' in plan and 'for 64 positions' in plan
    node.says('weights are mapped: the CPU computes from the page cache')


@pytest.mark.parametrize(('parameter', 'reason'), [
    ('model:=/nonexistent', '/nonexistent is not a directory'),
    ('precision:=W5A5', "'W5A5' does not fit"),
    ('backend:=abacus', 'backend must be auto or cpu or cuda'),
    ('max_seq_len:=9000', 'max_seq_len must be 1 .. 8192'),
    ('sentence_topic:=not a topic', 'Invalid topic name'),
])
def test_what_the_user_can_mend_is_one_line_and_exit_code_2(smollm2_checkpoint: Path, parameter: str,
                                                            reason: str) -> None:
    node = Process(str(BIN / 'chat_node'), '--ros-args', '-p', f'model:={smollm2_checkpoint}',
                   '-p', 'exit_on_failure:=true', '-p', parameter)
    assert node.ends() == 2
    assert reason in node.output
    assert node.output.count('\n') == 1


@pytest.mark.parametrize(('arguments', 'reason'), [
    (['model:=/models/x'], "unknown argument 'model:=/models/x'; pass a parameter as --ros-args -p NAME:=VALUE"),
    (['--ros-args', '-p', 'model:='], 'needs quotes that the shell does not remove'),
    (['--ros-args', '-p', b'model:=/models/\xff'], 'the arguments must be UTF-8'),
])
def test_arguments_that_ros_would_not_read_as_they_are_meant(arguments: list[Any], reason: str) -> None:
    node = Process(str(BIN / 'chat_node'), *arguments)
    assert node.ends() == 2
    # rcl may have a line of its own before.
    assert reason in node.output.splitlines()[-1]


def test_a_node_without_its_model_stays_and_tells_clients_why() -> None:
    namespace = new_namespace()
    node = Process(str(BIN / 'chat_node'), '--ros-args', '-p', 'model:=/nonexistent', '-r', f'__ns:={namespace}')
    try:
        node.says('/nonexistent is not a directory')
        asking = client(namespace, 'Hello')
        assert asking.ends() == 1
        assert '/nonexistent is not a directory' in asking.output
        assert node.process.poll() is None
    finally:
        node.send_signal(signal.SIGINT)
        assert node.ends() == 0


def test_the_parameter_file_of_the_launch_file_starts_the_node(start_node: Any) -> None:
    config = Path(__file__).parents[2] / 'config' / 'chat.yaml'
    _, namespace = start_node('--params-file', str(config), '--log-level', 'info',
                              '-p', 'use_sim_time:=false')
    assert client(namespace, 'Hello', '--max-new-tokens', '3').ends() == 0


def test_without_a_node_the_client_ends_with_one_line() -> None:
    asking = client('/nobody', 'Hello', '--timeout', '1')
    assert asking.ends() == 1
    assert asking.output == 'chat_client: no answer from tinychat within 1 s; is the node running?\n'
