# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What differs between distributions."""

from __future__ import annotations

import ast
import asyncio
from pathlib import Path
from threading import Event, Lock, Thread
from types import SimpleNamespace

import pytest
import rclpy
import rclpy.action
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.timer import Timer
from robot import Robot

from tinychat_ros.distribution import (
    ActionClient,
    change_state_service,
    end_spinning,
    lifecycle_state,
    publish_goal_status,
    result_timeout,
    this_machine_only,
    triggered,
)
from tinychat_ros.interfaces import Chat

PACKAGE = Path(__file__).resolve().parents[2] / 'tinychat_ros'


@pytest.mark.parametrize(('distribution', 'seconds'), [
    ('humble', 900), ('iron', 900), ('jazzy', 10), ('kilted', 10), ('rolling', 10), (None, 10)])
def test_results_outlive_a_long_answer_where_they_are_counted_from_acceptance(distribution: str | None,
                                                                              seconds: int) -> None:
    assert result_timeout({} if distribution is None else {'ROS_DISTRO': distribution}) == seconds


@pytest.mark.parametrize(('distribution', 'localhost_only'), [
    ('humble', '1'), ('iron', ''), ('jazzy', ''), ('kilted', ''), (None, '')])
def test_discovery_is_limited_to_this_machine(distribution: str | None, localhost_only: str) -> None:
    environment = {} if distribution is None else {'ROS_DISTRO': distribution}
    assert this_machine_only(environment) == {
        'ROS_LOCALHOST_ONLY': localhost_only, 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}


def test_a_thread_that_misses_the_shutdown_of_its_executor_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    node = rclpy.create_node('late')
    node.create_timer(3600.0, lambda: None)
    gathers, is_shut_down = Event(), Event()
    accesses: list[Timer] | None = None
    handle = Timer.handle.fget

    def held_handle(timer: Timer) -> object:
        """Hold the thread after it has looked for a shutdown, and before it takes the guard condition to wait for."""
        if accesses is not None:
            accesses.append(timer)
            if len(accesses) == 2:  # the first one looks which timer is ready
                gathers.set()
                is_shut_down.wait(10)
        return handle(timer)

    class LateExecutor(SingleThreadedExecutor):

        def shutdown(self, *args: float | None) -> bool:
            nonlocal accesses
            accesses = []
            self.wake()
            gathers.wait(10)
            is_done = super().shutdown(*args)
            is_shut_down.set()
            return is_done

    monkeypatch.setattr(Timer, 'handle', property(held_handle))
    executor = LateExecutor()
    executor.add_node(node)
    thread = Thread(target=executor.spin, daemon=True)
    thread.start()
    end_spinning(executor, thread)
    assert gathers.is_set() and not thread.is_alive()
    node.destroy_node()


def test_a_callback_that_begins_after_the_shutdown_raises_nothing() -> None:
    node, executor = rclpy.create_node('later'), SingleThreadedExecutor()
    executor.add_node(node)
    callback = executor._make_handler(node.create_guard_condition(lambda: None), node, lambda _: None)
    thread = Thread(target=lambda: None)
    thread.start()
    end_spinning(executor, thread)
    callback()
    assert callback.exception() is None  # rclpy would print it
    node.destroy_node()


def test_a_response_waits_until_its_request_has_been_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    is_sent, note = Event(), Event()
    monkeypatch.setattr(rclpy.action.ActionClient, 'send_goal_async', lambda *_: (is_sent.set(), note.wait(10)))
    node = rclpy.create_node('sender')
    client = ActionClient(node, Chat, 'chat')
    sender = Thread(target=client.send_goal_async, args=[Chat.Goal()])
    sender.start()
    assert is_sent.wait(10)
    taker = Thread(target=lambda: asyncio.run(client.execute({})))
    taker.start()
    taker.join(0.1)
    assert taker.is_alive()
    note.set()
    for thread in (sender, taker):
        thread.join(10)
    assert not taker.is_alive()
    client.destroy()
    node.destroy_node()


def test_the_lifecycle_is_reached_through_public_names(robot: Robot) -> None:
    assert lifecycle_state(robot.node) == 'active'
    assert change_state_service(robot.node).srv_name == f'{robot.node.get_fully_qualified_name()}/change_state'


def test_this_rclpy_can_repeat_a_status_and_another_does_not_end_the_node() -> None:
    calls = []

    class Server:  # as rclpy's, from Humble to Kilted
        _lock = Lock()
        _handle = SimpleNamespace(publish_status=lambda: calls.append(Server._lock.locked()))

    publish_goal_status(Server())
    assert calls == [True]
    publish_goal_status(object())


def test_an_impossible_transition_fails_in_the_same_way_everywhere(robot: Robot) -> None:
    def raises() -> TransitionCallbackReturn:  # as Humble's and Jazzy's rclpy
        raise RuntimeError('Failed to trigger lifecycle state machine transition')

    assert triggered(raises) == TransitionCallbackReturn.ERROR
    assert triggered(robot.node.trigger_configure) == TransitionCallbackReturn.ERROR  # it is active


def private_names() -> dict[str, set[str]]:
    """Return the private attributes that each module uses and no module defines: those of other packages."""
    used: dict[str, set[str]] = {}
    own: set[str] = set()
    for path in PACKAGE.rglob('*.py'):
        nodes = [*ast.walk(ast.parse(path.read_text()))]
        attributes = [node for node in nodes if isinstance(node, ast.Attribute)]
        own |= {node.attr for node in attributes if isinstance(node.ctx, ast.Store)}
        own |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        own |= {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        used[path.name] = {node.attr for node in attributes if isinstance(node.ctx, ast.Load)}
    return {file: {name for name in names - own if name.startswith('_') and not name.endswith('__')}
            for file, names in used.items()}


def test_private_names_of_rclpy_are_used_in_one_file() -> None:
    assert {file: names for file, names in private_names().items() if names} == {
        'distribution.py': {'_parameter_overrides'}}
