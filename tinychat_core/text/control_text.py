# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Control tokens that somebody wrote into a message: kept apart from those that the chat template writes."""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
import re

from tinychat_core.errors import InvalidParameterError

# Private use, planes 15 and 16: no tokenizer gives these characters a meaning, and no template looks for them.
_PRIVATE = (range(0xF0000, 0xFFFFE), range(0x100000, 0x10FFFE))


class ControlText:
    """
    Puts a mark where a text spells a control token, and later the spelling where the mark is.

    Between the two a template places the texts among control tokens of its own; what is then found in a
    mark's stead came from a message, whatever the template did with it. A mark is one character, a different
    one for each control token, and one that no text has.
    """

    def __init__(self, spellings: Iterable[str], texts: Iterable[str]) -> None:
        """
        Take the spellings of the control tokens, and all texts: a mark looks like nothing in them.

        Raises InvalidParameterError where the texts have so many private-use characters that none is left.
        """
        # The longest first, as the tokenizer reads them.
        ordered = sorted(filter(None, spellings), key=len, reverse=True)
        alternatives = '|'.join(map(re.escape, ordered))
        self._spelling = re.compile(alternatives) if alternatives else None
        self._free = _free(set().union(*texts))
        self._marks: dict[str, str] = {}

    @property
    def is_used(self) -> bool:
        """Whether any text so far spelt a control token."""
        return bool(self._marks)

    def protect(self, text: str) -> str:
        """Return the text with a mark for each spelling of a control token."""
        return self._spelling.sub(self._put, text) if self._spelling else text

    def is_in(self, text: str) -> bool:
        """Whether the text has a mark."""
        return any(mark in text for mark in self._marks.values())

    def restore(self, text: str) -> str:
        """Return the text with the spellings where the marks are."""
        return text.translate({ord(mark): spelling for spelling, mark in self._marks.items()})

    def _put(self, match: re.Match[str]) -> str:
        mark = self._marks.get(match[0])
        if mark is None:
            mark = self._marks[match[0]] = self._next()
        return mark

    def _next(self) -> str:
        mark = next(self._free, None)
        if mark is None:
            raise InvalidParameterError('the messages contain nearly all private-use characters of Unicode (U+F0000 '
                                        'to U+10FFFD), so that none is left to mark control tokens: remove some')
        return mark


def _free(taken: set[str]) -> Iterator[str]:
    return (chr(code) for code in chain(*_PRIVATE) if chr(code) not in taken)
