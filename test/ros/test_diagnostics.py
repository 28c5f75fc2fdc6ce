# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""/diagnostics, once a second, with figures and without words of a prompt."""

from __future__ import annotations

from pathlib import Path
from threading import Event
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.qos import QoSProfile
from robot import Robot
from scripted_engine import ScriptedEngine
from test_hardware_monitor import describe, JETSON_ORIN
from waiting import wait_for

from tinychat_core.errors import CheckpointError


def reports(robot: Robot) -> list[DiagnosticStatus]:
    """Listen to a robot's diagnostics."""
    heard: list[DiagnosticStatus] = []
    name = f'{robot.node.get_fully_qualified_name()}: language model'
    robot.client_node.create_subscription(
        DiagnosticArray, '/diagnostics',
        lambda array: heard.extend(status for status in array.status if status.name == name),
        QoSProfile(depth=10))
    return heard


def values(report: DiagnosticStatus) -> dict[str, str]:
    """Return the pairs of a report."""
    return {pair.key: pair.value for pair in report.values}


def test_model_backend_and_memory(start: Any, tmp_path: Path) -> None:
    heard = reports(start(options={'hardware': describe(tmp_path, JETSON_ORIN)}))
    wait_for(lambda: heard)
    told = values(heard[-1])
    assert (told['model'], told['precision'], told['backend']) == ('scripted', 'W4A8', 'cpu')
    assert (told['threads'], told['context length']) == ('2', '128')
    assert float(told['resident memory [MB]']) > 10
    assert told['available memory [MB]'] == '2048'
    assert told['weights [MB]'] == '300'


def test_all_kv_caches_are_counted_as_in_the_log(start: Any, engine: ScriptedEngine) -> None:
    engine.kv_cache_bytes = 200_000_000
    heard = reports(start(kv_caches=3))
    wait_for(lambda: heard)
    told = values(heard[-1])
    assert (told['KV caches'], told['KV caches, full [MB]']) == ('3', '600')


def test_figures_of_the_last_answer(robot: Robot, engine: ScriptedEngine) -> None:
    engine.prefill_delay, engine.delay = 0.1, 0.01
    robot.send('secret words').result()
    heard = reports(robot)
    wait_for(lambda: heard)
    told = values(heard[-1])
    assert told['answers'] == '1'
    assert 0 < float(told['tokens/s']) < 100
    assert float(told['time to first token [ms]']) >= 100
    assert (heard[-1].level, heard[-1].message) == (DiagnosticStatus.OK, 'idle')


def test_the_queue_and_no_word_of_a_prompt(robot: Robot, engine: ScriptedEngine) -> None:
    engine.prefill_delay = 60.0
    goals = [robot.send('secret words') for _ in range(3)]
    robot.send('secret words', max_new_tokens=0)
    assert all(goal.handle.accepted for goal in goals)
    heard = reports(robot)
    wait_for(lambda: heard and heard[-1].message == 'busy')
    told = values(heard[-1])
    assert (told['waiting goals'], told['rejected goals']) == ('2', '1')
    assert 'max_new_tokens' in told['last rejection']
    assert 'secret' not in str(heard)


def test_once_a_second(robot: Robot) -> None:
    heard = reports(robot)
    before = robot.node.get_clock().now()
    wait_for(lambda: len(heard) >= 3)
    assert (robot.node.get_clock().now() - before).nanoseconds > 1.5e9


def test_how_far_a_model_is_loaded(start: Any, engine: ScriptedEngine) -> None:
    go_on = Event()

    def open_engine(*_: Any, progress: Any, **__: Any) -> Any:
        progress(0.25)
        go_on.wait(30)
        return engine

    heard = reports(start(open_engine, awaits_idle=False))
    wait_for(lambda: heard and heard[-1].message == 'loading')
    assert values(heard[-1])['loaded [%]'] == '25'
    go_on.set()
    wait_for(lambda: heard[-1].message == 'idle')
    assert values(heard[-1])['loaded [%]'] == '100'


def test_an_error_is_one(start: Any) -> None:
    def open_engine(*_: Any, **__: Any) -> Any:
        raise CheckpointError('there is no such model')

    heard = reports(start(open_engine))
    wait_for(lambda: heard)
    assert (heard[-1].level, heard[-1].message) == (DiagnosticStatus.ERROR, 'there is no such model')


def test_goals_that_fail_are_one_until_one_is_answered(robot: Robot, engine: ScriptedEngine) -> None:
    heard = reports(robot)
    engine.fails_at = 0
    robot.send().result()
    robot.send().result()
    wait_for(lambda: heard and heard[-1].level == DiagnosticStatus.ERROR and values(heard[-1])['failed goals'] == '2')
    assert 'the decoder broke' in heard[-1].message
    engine.fails_at = None
    robot.send('x' * 128).result()  # too long: it does not come so far
    robot.send().result()
    wait_for(lambda: heard[-1].level == DiagnosticStatus.OK)
    assert values(heard[-1])['failed goals'] == '2'


def test_temperature_and_a_warning_where_the_board_slows_down(start: Any, tmp_path: Path) -> None:
    heard = reports(start(options={'hardware': describe(tmp_path, JETSON_ORIN)}))
    wait_for(lambda: heard)
    told = values(heard[-1])
    assert (told['hottest zone'], told['temperature [°C]']) == ('tj-thermal', '52')
    assert heard[-1].level == DiagnosticStatus.OK
    describe(tmp_path, {'sys/class/thermal/thermal_zone2/temp': '99000',
                        'sys/class/hwmon/hwmon3/oc1_event_cnt': '1'})
    wait_for(lambda: heard[-1].level == DiagnosticStatus.WARN)
    assert heard[-1].message == ('tj-thermal is so hot that the board slows down: 99 °C; '
                                 'the supply current was too high, the board has slowed down')
