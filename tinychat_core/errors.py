# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What a user can mend. The message is one line that says what to do."""

from __future__ import annotations

# Characters of somebody else's text that a message repeats, and of a whole message.
MOST_QUOTED = 100
MOST_TOLD = 1000


def shown(value: object) -> str:
    """Return a value for a message: one line of at most MOST_QUOTED printable characters; a text stands in quotes."""
    try:
        text = value if isinstance(value, str) else repr(value)
    except ValueError:  # Python prints no numbers of more than 4300 digits
        text = 'a very large number'
    line = printable(text[:MOST_QUOTED])
    if len(text) > MOST_QUOTED or len(line) > MOST_QUOTED:
        line = line[:MOST_QUOTED] + '…'
    return f"'{line}'" if isinstance(value, str) else line


def printable(text: str) -> str:
    """
    Return a text with all that is not printable escaped, line breaks included.

    So nobody's text makes a line of its own in a log, or moves a terminal's cursor.
    """
    return ''.join(character if character.isprintable() else
                   character.encode('unicode_escape').decode() for character in text)


def one_line(text: str) -> str:
    """Return a message as one line of printable characters, at most MOST_TOLD of them."""
    line = printable(text[:MOST_TOLD + 1])
    return line if len(line) <= MOST_TOLD else line[:MOST_TOLD] + '…'


class TinyChatError(Exception):
    """
    The root of all errors that are no defect of ours; the command line prints them and exits with 2.

    The message becomes one line, whatever text of a file or a client it repeats.
    """

    def __init__(self, message: str) -> None:
        """Take what to tell."""
        super().__init__(one_line(message))


class CheckpointError(TinyChatError):
    """A checkpoint that is missing, damaged or newer than this release."""


class UnsupportedModelError(TinyChatError):
    """A model, or an option of one, that nothing here serves."""


class PromptTooLongError(TinyChatError):
    """A prompt that does not fit the context."""


class InvalidParameterError(TinyChatError, ValueError):
    """A value outside what is allowed."""


class BackendFailedError(TinyChatError):
    """A device that failed while it worked; it is set up anew for what is asked next, and caches are empty then."""


class DoesNotFitError(TinyChatError):
    """A model that has no room in the memory that is left."""
