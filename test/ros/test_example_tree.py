# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The behaviour tree of the examples takes the branch that ~/decide says, and has one for when it says nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
import sys
from threading import Thread

from processes import new_namespace, Process
import py_trees
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor

from tinychat_ros.distribution import end_spinning
from tinychat_ros.interfaces import Decide

EXAMPLE = Path(__file__).parents[2] / 'examples' / 'behaviour_tree.py'
assert py_trees.__name__  # so that this file is left out where the package is missing


@pytest.fixture
def decide() -> Iterator[Callable[[Decide.Response], str]]:
    """Return a function that starts a chat node which always decides this, and returns its namespace."""
    ends: list[Callable[[], None]] = []

    def start(response: Decide.Response) -> str:
        namespace = new_namespace()
        node = rclpy.create_node('tinychat', namespace=namespace)
        node.create_service(Decide, '~/decide', lambda request, _: response)
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        thread = Thread(target=executor.spin, daemon=True)
        thread.start()

        def end() -> None:
            end_spinning(executor, thread)
            node.destroy_node()

        ends.append(end)
        return namespace

    yield start
    for end in ends:
        end()


def run(namespace: str, *arguments: str) -> str:
    process = Process(sys.executable, str(EXAMPLE), 'Hello', *arguments, '--ros-args', '-r', f'__ns:={namespace}')
    assert process.ends() == 0, process.output
    return process.output


@pytest.mark.parametrize(('response', 'branch'), [
    (Decide.Response(success=True, best=1, probabilities=[0.1, 0.8, 0.1]), 'patrol the building'),
    (Decide.Response(success=True, best=2, probabilities=[0.1, 0.1, 0.8]), 'greet the person'),
    (Decide.Response(success=True, best=0, probabilities=[0.4, 0.3, 0.3]), 'ask the person what to do'),
    (Decide.Response(message='[inactive] the node is not active', best=-1), 'ask the person what to do'),
])
def test_it_takes_the_branch(decide: Callable[[Decide.Response], str], response: Decide.Response, branch: str) -> None:
    output = run(decide(response))
    assert [line for line in output.splitlines() if line.startswith('->')] == [f'-> {branch}']


def test_it_goes_on_without_a_model() -> None:
    assert '-> ask the person what to do' in run(new_namespace(), '--patience', '0.3')
