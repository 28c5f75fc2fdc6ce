# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What somebody types, pastes or pipes, turn by turn."""

from __future__ import annotations

from collections.abc import Iterator
import sys

from tinychat_core.errors import TinyChatError

# Some editors and shells begin a file or a pipe with it; to a model it is a character as any other.
_MARK = '\ufeff'


def turns() -> Iterator[str]:
    """
    Yield what stdin says, until it ends: every line of a pipe that is not blank, and of a terminal every entry.

    An entry is a line, or several that were pasted at once: terminals mark what is pasted where they are asked to
    (bracketed paste), and GNU readline then ends the entry with the next Enter only. Raises
    TinyChatError where stdin is closed.
    """
    if sys.stdin is None:
        raise TinyChatError('stdin is closed, and no prompt is given')
    is_terminal = sys.stdin.isatty()
    if is_terminal:
        _edit_lines()
    mark = _MARK
    while True:
        try:
            entry = input('> ' if is_terminal else '').removeprefix(mark).strip('\n')
        except EOFError:
            return
        mark = ''
        if entry.strip():
            yield entry


def _edit_lines() -> None:
    """Let input() edit lines, where this Python can."""
    try:
        import readline
    except ImportError:
        return
    if 'libedit' not in (readline.__doc__ or ''):
        readline.parse_and_bind('set enable-bracketed-paste on')  # Python switches it off when readline is imported
