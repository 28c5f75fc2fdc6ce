# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Reads turns that a user types, pastes or pipes."""

from __future__ import annotations

from collections.abc import Iterator
import sys

from tinychat_core.errors import TinyChatError

# The byte order mark: some editors and shells start a file or pipe with it, and a model would see it as a character.
_MARK = '\ufeff'


def turns() -> Iterator[str]:
    """
    Yield the turns from stdin: every non-blank line of a pipe, every entry of a terminal.

    An entry is a line, or several lines pasted together: terminals mark pasted text on request (bracketed paste), and
    GNU readline then ends the entry only at the next Enter. Raises TinyChatError where stdin is closed.
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
    """Enable line editing in input(), where this Python supports it."""
    try:
        import readline
    except ImportError:
        return
    if 'libedit' not in (readline.__doc__ or ''):
        readline.parse_and_bind('set enable-bracketed-paste on')  # importing readline turns it off
