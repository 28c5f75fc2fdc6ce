# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The importers' one way out: whatever is in the files, an error is a TinyChatError of one printable line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import logging

from tinychat_core.errors import TinyChatError

_log = logging.getLogger(__name__)

_LONGEST = 500  # characters of a message: what a file says is quoted no further


@contextmanager
def one_line(source: str) -> Iterator[None]:
    """
    Let nothing out but TinyChatError, with a message of one line; `source` names what is read.

    Where an error was not foreseen, its trace is in the log at DEBUG. What a user stops (KeyboardInterrupt) passes.
    """
    try:
        yield
    except TinyChatError as error:
        line = printable(str(error))
        if line == str(error):
            raise
        raise type(error)(line) from None
    except MemoryError:
        raise TinyChatError(printable(f'there is not enough memory to read {source}')) from None
    except BaseException as error:
        # A panic of a library in Rust is a BaseException of a class that nothing exports.
        if not isinstance(error, Exception) and type(error).__name__ != 'PanicException':
            raise
        _log.debug('%s', source, exc_info=True)
        raise TinyChatError(printable(f'cannot import {source}: {type(error).__name__}: {error}; the files are '
                                      'damaged, or of a kind that is not known here')) from None


def printable(text: str) -> str:
    """Return a text as one line without control characters, its middle left out where it is long."""
    line = ''.join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
    if len(line) <= _LONGEST:
        return line
    return f'{line[:_LONGEST // 2]}…{line[-_LONGEST // 2:]}'
