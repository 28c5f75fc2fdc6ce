# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""`tinychat chat` over an engine that follows a script."""
from __future__ import annotations

import argparse
from collections.abc import Callable
import io
import os
import re
import signal
import threading
import time
from typing import Any

import pytest
from scripted_engine import EOS, ScriptedEngine

from tinychat_core._tinychat import Canceled
from tinychat_core.commands import chat
import tinychat_core.engine
from tinychat_core.errors import InvalidParameterError, TinyChatError

Run = Callable[..., int]


class InterruptedEngine(ScriptedEngine):
    """Gets a number of Ctrl-C in a step, and stops as soon as the flag is set."""

    def __init__(self, script: Any, step: int, times: int) -> None:
        super().__init__(script)
        self._step_of_interrupt, self._times = step, times

    def _step(self, cache: Any, tokens: Any, cancel: Any, delay: float) -> Any:
        if self.calls != self._step_of_interrupt:
            return super()._step(cache, tokens, cancel, delay)
        for _ in range(self._times):
            os.kill(os.getpid(), signal.SIGINT)
            while not cancel.is_set():
                time.sleep(0.001)
            time.sleep(0.05)
        self._step_of_interrupt = -1
        raise Canceled('canceled')


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    def run(engine: Any, *arguments: str, stdin: str = '') -> int:
        monkeypatch.setattr('sys.stdin', io.StringIO(stdin))
        monkeypatch.setattr(tinychat_core.engine.Engine, 'open', lambda *_args, **_options: engine)
        parser = argparse.ArgumentParser()
        chat.add_arguments(parser)
        return chat.run(parser.parse_args(['model', *arguments]))
    return run


def test_a_prompt_is_answered_once(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(ScriptedEngine([*b'Hello', EOS]), '--prompt', 'Hi', stdin='not read\n') == 0
    assert capsys.readouterr().out == 'Hello\n'


def test_every_line_of_a_pipe_is_a_turn(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    engine = ScriptedEngine([*b'one', EOS, *b'two', EOS])
    assert run(engine, stdin='first\n\nsecond\n') == 0
    assert capsys.readouterr().out == 'one\ntwo\n'
    assert bytes(engine.prefilled[1][2:8]) == b'second'


def test_a_byte_order_mark_is_no_part_of_a_prompt(run: Run) -> None:
    for arguments in ((), ('--prompt', '-')):
        engine = ScriptedEngine([*b'Hello', EOS])
        run(engine, *arguments, stdin='\ufeffHi')
        assert bytes(engine.prefilled[0][1:3]) == b'Hi'


@pytest.mark.parametrize('arguments', [('--prompt', ''), ('--prompt', ' \n'), ('--prompt', '-')])
def test_an_empty_prompt_is_refused(run: Run, arguments: tuple[str, ...]) -> None:
    with pytest.raises(TinyChatError, match='the prompt is empty'):
        run(ScriptedEngine([EOS]), *arguments)


@pytest.mark.parametrize('arguments', [(), ('--prompt', '-')])
def test_a_closed_stdin_is_said(run: Run, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]) -> None:
    monkeypatch.setattr('io.StringIO', lambda _: None)  # as Python has it then
    with pytest.raises(TinyChatError, match='stdin is closed'):
        run(ScriptedEngine([EOS]), *arguments)


def test_all_of_a_pipe_can_be_one_prompt(run: Run) -> None:
    engine = ScriptedEngine([EOS])
    run(engine, '--prompt', '-', stdin='two\nlines\n')
    assert bytes(engine.prefilled[0][1:11]) == b'two\nlines\n'


def test_the_system_prompt_comes_first(run: Run) -> None:
    engine = ScriptedEngine([EOS])
    run(engine, '--prompt', 'Hi', '--system', 'Be brief.')
    assert bytes(engine.prefilled[0][1:10]) == b'Be brief.'


def test_figures_go_to_stderr(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run(ScriptedEngine([*b'Hello', EOS]), '--prompt', 'Hi')
    figures = capsys.readouterr().err
    assert re.fullmatch(r'\[6 tokens, first after \d+ ms, [\d.]+ tokens/s, stop\]\n', figures)


def test_sampling_options_reach_the_answer(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run(ScriptedEngine(b'abcdef'), '--prompt', 'Hi', '--stop', 'zz', '--stop', 'd', '--max-new-tokens', '5')
    assert capsys.readouterr().out == 'abc\n'


def test_an_impossible_option_is_refused_before_the_model_is_opened(run: Run) -> None:
    with pytest.raises(InvalidParameterError, match='top_p'):
        run(None, '--prompt', 'Hi', '--top-p', '2')


def test_a_prompt_that_is_too_long_ends_a_pipe(run: Run) -> None:
    with pytest.raises(TinyChatError, match='the prompt has 33 tokens'):
        run(ScriptedEngine([EOS], context_length=20), stdin='x' * 30)


def test_ctrl_c_stops_only_the_answer(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    engine = InterruptedEngine([*b'ab', *b'next', EOS], step=2, times=1)
    assert run(engine, stdin='first\nsecond\n') == 0
    out, err = capsys.readouterr()
    assert out == 'ab\nnext\n' and ', canceled]' in err and ', stop]' in err


def test_a_second_ctrl_c_ends_the_command(run: Run) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run(InterruptedEngine(b'abcdef', step=2, times=2), stdin='first\nsecond\n')
    assert signal.getsignal(signal.SIGINT) is before
    assert 'scheduler' not in [thread.name for thread in threading.enumerate()]


@pytest.mark.parametrize(('arguments', 'memory'), [((), None), (('--memory', '6GiB'), 6 << 30)])
def test_how_much_may_be_used(monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], memory: int | None) -> None:
    told = []

    def open_engine(*_: Any, memory: int | None, **__: Any) -> Any:
        told.append(memory)
        raise InvalidParameterError('enough')

    monkeypatch.setattr(tinychat_core.engine.Engine, 'open', open_engine)
    with pytest.raises(InvalidParameterError, match='enough'):
        parser = argparse.ArgumentParser()
        chat.add_arguments(parser)
        chat.run(parser.parse_args(['model', '--prompt', 'Hi', *arguments]))
    assert told == [memory]


def test_an_amount_that_is_none_is_refused(run: Run) -> None:
    with pytest.raises(InvalidParameterError, match="--memory takes a size like 8GiB or 500MB, not 'much'"):
        run(None, '--prompt', 'Hi', '--memory', 'much')
