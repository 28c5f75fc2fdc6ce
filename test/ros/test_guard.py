# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Whatever a callback raises: its caller gets an answer, and the node goes on."""

from __future__ import annotations

from pathlib import Path
import signal
import sys
from typing import Any

from processes import Process
import pytest
from rcl_interfaces.msg import Parameter, ParameterValue
from rcl_interfaces.srv import DescribeParameters, SetParameters, SetParametersAtomically
from robot import Robot
from scripted_engine import ScriptedEngine

from tinychat_ros.guard import MOST_ERRORS, spin
from tinychat_ros.interfaces import GetModelInfo, Tokenize

ROS = Path(__file__).parent


@pytest.mark.parametrize('number', [10, 77, 255])
def test_a_parameter_of_an_unknown_type_sets_nothing(robot: Robot, number: int) -> None:
    good = Parameter(name='sampling.top_k', value=ParameterValue(type=2, integer_value=3))
    bad = Parameter(name='x\nsampling.top_k', value=ParameterValue(type=number))
    answer = robot.call(SetParameters, 'set_parameters', SetParameters.Request(parameters=[good, bad]))
    assert [result.successful for result in answer.results] == [False, False]
    assert f'unknown type {number}' in answer.results[1].reason and '\n' not in answer.results[1].reason
    atomic = robot.call(SetParametersAtomically, 'set_parameters_atomically',
                        SetParametersAtomically.Request(parameters=[good, bad]))
    assert not atomic.result.successful and f'unknown type {number}' in atomic.result.reason
    assert robot.node.get_parameter('sampling.top_k').value == 40
    assert robot.send().result()[1].finish_reason == 'stop'


def test_parameters_that_do_not_exist_are_no_end(robot: Robot) -> None:
    robot.call(DescribeParameters, 'describe_parameters', DescribeParameters.Request(names=['', 'x' * 10**5, '\n']))
    assert robot.send().result()[1].finish_reason == 'stop'


class Defect(Exception):
    """What nobody foresaw."""


def test_a_service_tells_of_a_defect(robot: Robot, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise Defect('of\nours')

    monkeypatch.setattr(engine.tokenizer, 'encode', fail)
    monkeypatch.setattr(type(engine), 'context_length', property(fail), raising=False)
    for kind, name, request in ((Tokenize, 'tokenize', Tokenize.Request(text='a')),
                                (GetModelInfo, 'get_model_info', GetModelInfo.Request())):
        answer = robot.call(kind, name, request)
        assert not answer.success
        assert answer.message == r"internal error: Defect('of\nours')"
    monkeypatch.undo()
    assert robot.send().result()[1].finish_reason == 'stop'


class Executor:
    """Its callbacks raise `errors`, one after the other; then it is shut down."""

    def __init__(self, errors: int) -> None:
        self.left = errors

    def spin(self) -> None:
        if self.left:
            self.left -= 1
            raise Defect(f'number {self.left % 2}')


class Log:
    """A node whose log is a list."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.error = self.lines.append

    def get_logger(self) -> Log:
        return self


def test_errors_of_callbacks_are_logged_once_each_and_do_not_end_the_spinning() -> None:
    node: Any = Log()
    executor = Executor(MOST_ERRORS - 1)
    assert spin(executor, node, lambda: False) is None
    assert executor.left == 0
    assert len(node.lines) == 2


def test_an_executor_that_fails_all_the_time_is_given_up() -> None:
    node: Any = Log()
    assert isinstance(spin(Executor(10**6), node, lambda: False), Defect)


def test_a_signal_ends_a_process_that_cannot_be_interrupted() -> None:
    code = ('import rclpy, sys, time\n'
            'from tinychat_ros.process import run\n'
            'class Stuck(rclpy.node.Node):\n'
            '    def end(self):\n'
            '        time.sleep(1000)\n'
            'def make(give_up):\n'
            '    node = Stuck("stuck")\n'
            '    print("ready", flush=True)\n'
            '    return node\n'
            'sys.exit(run(make, None))\n')
    process = Process(sys.executable, '-c', code, cwd=ROS.parents[1])
    process.says('ready')
    process.send_signal(signal.SIGTERM)
    assert process.ends(60) == 1
    assert 'has not ended within 4 s of the signal' in process.output
