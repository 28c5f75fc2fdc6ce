# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""`tinychat chat --tools`: calls are printed, and the next lines are their results."""
from __future__ import annotations

import argparse
from collections.abc import Callable
import io
from pathlib import Path
from typing import Any

import pytest
from scripted_engine import EOS, ScriptedEngine
from test_tool_calls import CALL, Calling, TOOLS

from tinychat_core.commands import chat
import tinychat_core.engine
from tinychat_core.errors import TinyChatError

Run = Callable[..., int]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    def run(script: list[int], *arguments: str, stdin: str = '', tools: str = TOOLS) -> int:
        engine: Any = ScriptedEngine(script)
        engine.tokenizer = Calling()
        (tmp_path / 'tools.json').write_text(tools)
        monkeypatch.setattr('sys.stdin', io.StringIO(stdin))
        monkeypatch.setattr(tinychat_core.engine.Engine, 'open', lambda *_args, **_options: engine)
        parser = argparse.ArgumentParser()
        chat.add_arguments(parser)
        return chat.run(parser.parse_args(['model', '--tools', str(tmp_path / 'tools.json'), *arguments]))
    return run


def test_a_call_is_printed_and_the_next_line_is_its_result(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    script = [*CALL.encode(), EOS, *b'I am there.', EOS, *b'Bye.', EOS]
    assert run(script, stdin='Go.\nDone.\nThanks.\n') == 0
    assert capsys.readouterr().out == 'go {"x": 1}\nI am there.\nBye.\n'


def test_without_a_result_it_ends(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*CALL.encode(), EOS], stdin='Go.\n') == 0
    assert capsys.readouterr().out == 'go {"x": 1}\n'


def test_with_a_prompt_the_calls_are_the_answer(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*CALL.encode(), EOS], '--prompt', 'Go.') == 0
    assert capsys.readouterr().out == 'go {"x": 1}\n'


@pytest.mark.parametrize('tools', ['', '[]', '[', '{}', '[{"function": {}}]'])
def test_a_file_that_has_no_tools_is_named(run: Run, tools: str) -> None:
    with pytest.raises(TinyChatError, match=r'tools\.json: '):
        run([EOS], '--prompt', 'Go.', tools=tools)
