# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What the node makes of the parameters `model` and `memory`: paths of all kinds, and how much may be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from scripted_engine import ScriptedEngine
from waiting import wait_for

from tinychat_core.errors import CheckpointError, TinyChatError
from tinychat_ros.interfaces import GetModelInfo, State
from tinychat_ros.model_path import model_path

HOME = '/home/\udcff\udc80x'  # what Python makes of bytes that are not UTF-8


def test_the_home_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('HOME', '/home/robot')
    assert model_path('~/models/x') == '/home/robot/models/x'
    assert model_path('~nobody-of-that-name/x') == '~nobody-of-that-name/x'
    assert model_path('/models/~x') == '/models/~x'


@pytest.mark.parametrize('path', ['$(env HOME)/models/x', '$(find-pkg-share robot)/x', '$HOME/models/x', '/m/${X}'])
def test_what_only_a_launch_file_or_a_shell_replaces_is_said(path: str) -> None:
    with pytest.raises(TinyChatError) as caught:
        model_path(path)
    assert str(caught.value).startswith(f'{path} is not a directory; the node replaces ~, but ')


def test_a_directory_may_have_a_dollar_in_its_name(tmp_path: Path) -> None:
    (tmp_path / '$x').mkdir()
    assert model_path(str(tmp_path / '$x')) == str(tmp_path / '$x')


def test_without_a_model_the_line_says_how_to_give_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('tinychat_ros.model_path.NAME', Path('models', 'nothing'))
    with pytest.raises(TinyChatError) as caught:
        model_path('')
    assert 'ros2 launch tinychat_ros chat.launch.py model:=DIRECTORY' in str(caught.value)
    assert 'ros2 run tinychat_ros chat_node --ros-args -p model:=DIRECTORY' in str(caught.value)


def test_the_current_directory_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / 'home'
    for root in (home / '.local/share/tinychat', tmp_path):
        (root / 'models/mine').mkdir(parents=True)
        (root / 'models/mine/tinychat.json').touch()
    monkeypatch.setattr('tinychat_ros.model_path.NAME', Path('models', 'mine'))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('HOME', str(home))
    assert model_path('') == str(home / '.local/share/tinychat/models/mine')
    monkeypatch.setenv('HOME', str(tmp_path / 'nobody'))
    assert model_path('') == str(tmp_path / 'models/mine')


def test_a_path_that_is_not_utf_8_is_served(start: Any, engine: ScriptedEngine,
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('HOME', HOME)
    opened = []

    def open_engine(model: str, *_: Any, **__: Any) -> ScriptedEngine:
        opened.append(model)
        engine.path = model
        return engine

    robot = start(open_engine, model='~/m')
    assert opened == [f'{HOME}/m']
    assert robot.states[-1].model == '/home/\\udcff\\udc80x/m'
    assert robot.call(GetModelInfo, 'get_model_info', GetModelInfo.Request()).path == '/home/\\udcff\\udc80x/m'


def test_a_path_that_is_not_utf_8_and_is_nothing_is_one_line(start: Any, capfd: pytest.CaptureFixture[str],
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('HOME', HOME)

    def open_engine(model: str, *_: Any, **__: Any) -> Any:
        raise CheckpointError(f'{model} is not a directory')

    robot = start(open_engine, model='~/m')
    wait_for(lambda: robot.states and robot.states[-1].error == '/home/\\udcff\\udc80x/m is not a directory')
    assert robot.states[-1].state == State.ERROR
    logged: list[str] = []
    # The log comes after the state.
    wait_for(lambda: logged.append(capfd.readouterr().err) or '[ERROR]' in ''.join(logged))
    (line,) = [line for line in ''.join(logged).splitlines() if '[ERROR]' in line]
    assert line.endswith('/home/\\udcff\\udc80x/m is not a directory')


@pytest.mark.parametrize(('given', 'bytes_'), [('', None), ('6GiB', 6 << 30), ('500 MB', 500_000_000)])
def test_how_much_may_be_used(start: Any, engine: ScriptedEngine, given: str, bytes_: int | None) -> None:
    told = []

    def open_engine(*_: Any, memory: int | None, **__: Any) -> ScriptedEngine:
        told.append(memory)
        return engine

    start(open_engine, memory=given)
    assert told == [bytes_]


def test_an_amount_that_is_none_is_refused(start: Any) -> None:
    robot = start(memory='plenty')
    wait_for(lambda: robot.states and robot.states[-1].error == "memory takes a size like 8GiB or 500MB, not 'plenty'")
