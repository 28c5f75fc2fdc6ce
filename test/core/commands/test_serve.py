# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""`tinychat serve` over an engine that follows a script."""

from __future__ import annotations

import argparse
from collections.abc import Callable
import os
import re
import signal
import sys
from threading import Thread
from typing import Any

import httpx
import pytest
from scripted_engine import ScriptedEngine
from waiting import wait_for

from tinychat_core import end_signal
from tinychat_core.commands import serve
import tinychat_core.engine
from tinychat_core.errors import InvalidParameterError, TinyChatError


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    monkeypatch.setattr(tinychat_core.engine.Engine, 'open', lambda *_args, **_options: ScriptedEngine())

    def run(*arguments: str) -> int:
        parser = argparse.ArgumentParser()
        serve.add_arguments(parser)
        return serve.run(parser.parse_args(['model', *arguments]))
    return run


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_a_signal(run: Callable[..., int], capsys: pytest.CaptureFixture[str],
                                  monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(end_signal, 'exit_after_signal', lambda *_: None)  # this process lives longer than the server
    answers: list[Any] = []

    def ask() -> None:
        told: list[str] = []

        def is_told() -> bool:
            told.append(capsys.readouterr().out)
            return 'http' in ''.join(told)

        wait_for(is_told)
        url = re.search(r'http://[0-9.:]+', ''.join(told))
        assert url
        answers.append(httpx.post(f'{url[0]}/v1/chat/completions', timeout=30.0, json={
            'messages': [{'role': 'user', 'content': 'x'}], 'temperature': 0}).json())
        os.kill(os.getpid(), number)

    asking = Thread(target=ask)
    asking.start()
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        assert run('--port', '0') == 0
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    asking.join()
    assert answers[0]['choices'][0]['message']['content'] == 'Robots need maps.'


@pytest.mark.parametrize(('arguments', 'told'), [
    (['--port', '70000'], '--port must be 0 .. 65535'), (['--port', '-1'], '--port must be'),
    (['--queue-depth', '-1'], '--queue-depth must not be negative')])
def test_a_number_out_of_range_is_refused(run: Callable[..., int], arguments: list[str], told: str) -> None:
    with pytest.raises(InvalidParameterError, match=told):
        run(*arguments)


def test_what_is_missing_is_told_before_the_model_is_loaded(run: Callable[..., int],
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(('tinychat_core.server.', 'fastapi'))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, 'fastapi', None)
    monkeypatch.setattr(tinychat_core.engine.Engine, 'open', None)
    with pytest.raises(TinyChatError, match=r"needs fastapi.*pip install 'tinychat_ros\[server\]'.*apt install"):
        run()
