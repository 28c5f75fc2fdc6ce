# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What is typed and pasted, in a terminal of its own."""
from __future__ import annotations

from collections.abc import Iterator
import os
from pathlib import Path
import pty
import select
import sys

import pytest

START, END = '\x1b[200~', '\x1b[201~'  # what a terminal puts around a paste, once it is asked to
ASKED = '\x1b[?2004h'
CHAT = """
import argparse, sys
sys.path.insert(0, {here!r})
from scripted_engine import EOS, ScriptedEngine
from tinychat_core.commands import chat
import tinychat_core.engine
engine = ScriptedEngine([*b'one', EOS, *b'two', EOS, *b'three', EOS])
tinychat_core.engine.Engine.open = lambda *_, **__: engine
parser = argparse.ArgumentParser()
chat.add_arguments(parser)
chat.run(parser.parse_args(['model']))
print([bytes(token for token in tokens if token < 256) for tokens in engine.prefilled])
"""


class Terminal:
    """A terminal with a program in it."""

    def __init__(self, code: str) -> None:
        """Start Python with some code."""
        self.output = ''
        pid, self.fd = pty.fork()
        if pid == 0:
            os.environ['TERM'] = 'xterm'
            os.environ.pop('INPUTRC', None)
            os.execv(sys.executable, [sys.executable, '-c', code])
        self.pid = pid

    def says(self, text: str) -> None:
        """Wait for a text, and forget what came before its end."""
        while text not in self.output:
            assert select.select([self.fd], [], [], 60)[0], f'{text!r} does not come after {self.output!r}'
            try:
                self.output += os.read(self.fd, 4096).decode()
            except OSError:
                pytest.fail(f'{text!r} does not come after {self.output!r}')
        self.output = self.output.partition(text)[2]

    def types(self, text: str) -> None:
        """Send keys."""
        os.write(self.fd, text.encode())

    def close(self) -> None:
        """End."""
        os.close(self.fd)
        os.waitpid(self.pid, 0)


@pytest.fixture
def chat() -> Iterator[Terminal]:
    """Return a terminal with `tinychat chat` that has asked for its first turn."""
    here = Path(__file__).parents[2]
    terminal = Terminal(CHAT.format(here=str(here)))
    terminal.says(ASKED)
    terminal.says('> ')
    yield terminal
    terminal.close()


def test_what_is_pasted_is_one_turn(chat: Terminal) -> None:
    # Enter is a carriage return in a terminal, in a paste as well.
    chat.types(f'{START}first\rsecond\r\rthird{END}')
    chat.types(' and more\r')
    chat.says('one')
    chat.says('> ')
    chat.types('fourth\r')
    chat.says('two')
    chat.says('> ')
    chat.types('\x04')
    chat.says(r'first\nsecond\n\nthird and more\x03')
    chat.says(r'fourth\x03')


def test_a_line_break_at_the_end_of_a_paste_sends_nothing(chat: Terminal) -> None:
    chat.types(f'{START}first\rsecond\r{END}')
    chat.types('\r')
    chat.says('one')
    chat.says('> ')
    chat.types('\x04')
    chat.says(r'first\nsecond\x03')
    chat.says(']')


def test_lines_that_are_typed_are_turns(chat: Terminal) -> None:
    for line, answer in (('first', 'one'), ('second', 'two')):
        chat.types(f'{line}\r')
        chat.says(answer)
        chat.says('> ')
    chat.types('\x04')
    chat.says(r'first\x03')
    chat.says(r'second\x03')
