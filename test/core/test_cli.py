# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The command line: errors are one line and exit code 2, and every command explains itself."""
from __future__ import annotations

import io
from pathlib import Path
import re
import subprocess
import sys

import pytest
import tiny_llama

from tinychat_core import __version__, progress
from tinychat_core.cli import COMMANDS, main
from tinychat_core.progress import ProgressBar

TINYCHAT = [sys.executable, '-c', 'import sys; from tinychat_core.cli import main; sys.exit(main())']


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    return tiny_llama.save(tmp_path / 'tiny.gguf', tiny_llama.tensors())


def error(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run what must fail; return its one line."""
    assert main([str(argument) for argument in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith('tinychat: error: ') and captured.err.count('\n') == 1 and not captured.out
    return captured.err


def test_importing_a_gguf_file(capsys: pytest.CaptureFixture[str], gguf: Path, tmp_path: Path) -> None:
    out = tmp_path / 'models' / 'tiny'
    assert main(['import', str(gguf), str(out)]) == 0
    assert capsys.readouterr().out == f'{out}: ready; try `tinychat chat {out}`\n'
    assert (out / 'tinychat.json').exists() and not (tmp_path / 'models' / 'tiny.partial').exists()
    assert main(['info', str(out)]) == 0


def test_importing_twice(capsys: pytest.CaptureFixture[str], gguf: Path, tmp_path: Path) -> None:
    assert main(['import', str(gguf), str(tmp_path / 'tiny')]) == 0
    capsys.readouterr()
    assert 'tiny exists; remove it or choose another name' in error(capsys, 'import', gguf, tmp_path / 'tiny')


def test_importing_what_is_not_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert 'nowhere.gguf does not exist' in error(capsys, 'import', tmp_path / 'nowhere.gguf', tmp_path / 'out')


@pytest.mark.parametrize('command', ['info', 'chat'])
def test_a_model_that_is_not_there(capsys: pytest.CaptureFixture[str], tmp_path: Path, command: str) -> None:
    assert 'is not a directory; give the path of a split checkpoint' in error(capsys, command, tmp_path / 'no')


@pytest.mark.parametrize('command', COMMANDS)
def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str], command: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, '--help'])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    usage, description, *rest = out.split('\n\n')
    assert usage.startswith(f'usage: tinychat {command}') and len(description) > 30 and rest
    assert all(re.search(rf'{option}[^\n]*\s+\S', out) for option in re.findall(r'^  (--\S+)', out, re.M))


def test_the_commands_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(['--help'])
    assert ended.value.code == 0
    out = re.sub(r'\s+', ' ', capsys.readouterr().out)
    assert all(f'{command} {help_}' in out for command, (_, help_) in COMMANDS.items())


@pytest.mark.parametrize('arguments', [[], ['dance'], ['chat'], ['info', 'model', '--bogus']])
def test_wrong_usage_ends_with_2(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2 and 'usage: tinychat' in capsys.readouterr().err


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(['--version'])
    assert ended.value.code == 0 and capsys.readouterr().out == f'tinychat {__version__}\n'


def test_ctrl_c_is_130_and_leaves_nothing_that_loads(monkeypatch: pytest.MonkeyPatch, gguf: Path,
                                                     tmp_path: Path) -> None:
    def interrupted(self: ProgressBar, fraction: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(progress.ProgressBar, '__call__', interrupted)
    assert main(['import', str(gguf), str(tmp_path / 'tiny')]) == 130
    assert not (tmp_path / 'tiny').exists()


def test_a_reader_that_goes_away_is_no_traceback(gguf: Path, tmp_path: Path) -> None:
    main(['import', str(gguf), str(tmp_path / 'tiny')])
    done = subprocess.run(['bash', '-c', '"$@" | true; exit ${PIPESTATUS[0]}', '-', *TINYCHAT, 'info',
                           str(tmp_path / 'tiny')], capture_output=True, text=True)
    assert done.stderr == ''


def test_an_output_without_room_is_one_line(gguf: Path, tmp_path: Path) -> None:
    main(['import', str(gguf), str(tmp_path / 'tiny')])
    done = subprocess.run(['sh', '-c', 'exec "$@" > /dev/full', '-', *TINYCHAT, 'info', str(tmp_path / 'tiny')],
                          capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, 'tinychat: error: [Errno 28] No space left on device\n')


def test_the_command_line_imports_only_what_the_command_needs() -> None:
    code = 'import sys, tinychat_core.cli; print("numpy" in sys.modules, "tinychat_core.engine" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True).stdout == 'False False\n'


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_on_a_terminal_is_one_line_that_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 1.0, 1.05, 2.0])
    monkeypatch.setattr(progress, 'monotonic', lambda: next(now))
    stream = Terminal()
    bar = ProgressBar('import tiny', stream)
    for fraction in (0.25, 0.3, 1.0):  # the second comes too soon after the first
        bar(fraction)
    lines = stream.getvalue().split('\r\x1b[K')
    assert lines[1] == 'import tiny [#######                       ]  25%, 3 s left'
    assert lines[2] == 'import tiny [##############################] 100%\n' and len(lines) == 3


def test_progress_elsewhere_is_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 5.0, 12.0, 13.0, 24.0])
    monkeypatch.setattr(progress, 'monotonic', lambda: next(now))
    stream = io.StringIO()
    bar = ProgressBar('import tiny', stream)
    for fraction in (0.1, 0.5, 0.6, 1.0):
        bar(fraction)
    assert stream.getvalue().splitlines() == ['import tiny [###############               ]  50%, 12 s left',
                                              'import tiny [##############################] 100%']
