# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What the terminal's chats share: prompts that are typed, pasted or piped, and the line of figures after an answer."""

from __future__ import annotations

from collections.abc import Iterator
import sys

from tinychat_core.errors import TinyChatError

# The byte order mark: some editors and shells start a file or pipe with it, and a model would see it as a character.
_MARK = '\ufeff'


def prompts(given: str | None) -> Iterator[str]:
    """
    Yield the one prompt that is `given`, '-' for all of stdin, or with None what stdin says turn by turn.

    Raises TinyChatError for an empty prompt, or where stdin is needed and closed.
    """
    # What is not UTF-8 is refused by the tokenizer, in one line.
    if hasattr(sys.stdin, 'reconfigure'):
        sys.stdin.reconfigure(encoding='utf-8', errors='surrogateescape')
    if given == '-':
        if sys.stdin is None:
            raise TinyChatError('stdin is closed, and the prompt - is read from there')
        given = sys.stdin.read().removeprefix(_MARK)
    if given is None:
        yield from turns()
    elif given.strip():
        yield given
    else:
        raise TinyChatError('the prompt is empty')


def figures(new_tokens: int, time_to_first_token: float, tokens_per_second: float, ending: str) -> str:
    """Return the figures of an answer as one line; the time is in seconds, `ending` says how it ended."""
    speed = f', {tokens_per_second:.1f} tokens/s' if tokens_per_second else ''
    return f'[{new_tokens} tokens, first after {1e3 * time_to_first_token:.0f} ms{speed}, {ending}]'


def turns() -> Iterator[str]:
    """
    Yield the turns from stdin: every non-blank line of a pipe, every entry of a terminal.

    An entry is a line, or several lines pasted together: terminals mark pasted text on request (bracketed paste), and
    GNU readline then ends the entry only at the next Enter. Raises TinyChatError where stdin is closed.
    """
    if sys.stdin is None:
        raise TinyChatError('stdin is closed, and no prompt was given')
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
