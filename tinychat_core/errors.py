# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Errors that a user can fix. The message is one line that says what to do."""

from __future__ import annotations

# Maximum characters that a message quotes from a user's text, and of a whole message.
MOST_QUOTED = 100
MOST_TOLD = 1000


def shown(value: object) -> str:
    """Return a value for a message: one line of at most MOST_QUOTED printable characters; strings are quoted."""
    try:
        text = value if isinstance(value, str) else repr(value)
    except ValueError:  # Python refuses to print more than 4300 digits
        text = 'a very large number'
    line = printable(text[:MOST_QUOTED])
    if len(text) > MOST_QUOTED or len(line) > MOST_QUOTED:
        line = line[:MOST_QUOTED] + '…'
    return f"'{line}'" if isinstance(value, str) else line


def printable(text: str) -> str:
    """
    Return a text with all characters that are not printable escaped, including line breaks.

    So quoted text cannot add lines to a log or move a terminal's cursor.
    """
    return ''.join(character if character.isprintable() else
                   character.encode('unicode_escape').decode() for character in text)


def one_line(text: str) -> str:
    """Return a message as one line of printable characters, at most MOST_TOLD of them."""
    line = printable(text[:MOST_TOLD + 1])
    return line if len(line) <= MOST_TOLD else line[:MOST_TOLD] + '…'


class TinyChatError(Exception):
    """
    The base of all errors that are not defects; the command line prints them and exits with code 2.

    The message is reduced to one line, whatever text of a file or client it quotes.
    """

    def __init__(self, message: str) -> None:
        """Take the message."""
        super().__init__(one_line(message))


class CheckpointError(TinyChatError):
    """A checkpoint that is missing, damaged or newer than this release."""


class UnsupportedModelError(TinyChatError):
    """A model, or an option of one, that is not supported."""


class PromptTooLongError(TinyChatError):
    """A prompt that does not fit the context."""


class InvalidParameterError(TinyChatError, ValueError):
    """An invalid parameter value."""


class BackendFailedError(TinyChatError):
    """A device that failed; the next request sets it up again, with empty caches."""


class DoesNotFitError(TinyChatError):
    """A model that does not fit into the free memory."""


class NoImageError(TinyChatError):
    """A camera that sent no image in time."""
