# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Control tokens that somebody wrote into a message: kept apart from those that the chat template writes."""
from __future__ import annotations

from collections.abc import Iterable
import re

# Private use: no tokenizer gives these characters a meaning, and no template looks for them.
_MARKERS = range(0xF0000, 0xFFFFE)


class ControlText:
    """
    Puts a mark where a text spells a control token, and later the spelling where the mark is.

    Between the two a template places the texts among control tokens of its own; what is then found in a
    mark's stead came from a message, whatever the template did with it.
    """

    def __init__(self, spellings: Iterable[str], texts: Iterable[str]) -> None:
        """Take the spellings of the control tokens, and all texts: a mark looks like nothing in them."""
        alternatives = '|'.join(re.escape(spelling) for spelling in spellings if spelling)
        self._spelling = re.compile(alternatives) if alternatives else None
        taken = set().union(*texts)
        self.marker = next(chr(code) for code in _MARKERS if chr(code) not in taken)
        self._mark = re.compile(f'{self.marker}([0-9]+){self.marker}')
        self._found: list[str] = []

    @property
    def is_used(self) -> bool:
        """Whether any text so far spelt a control token."""
        return bool(self._found)

    def protect(self, text: str) -> str:
        """Return the text with a mark for each spelling of a control token."""
        return self._spelling.sub(self._put, text) if self._spelling else text

    def is_in(self, text: str) -> bool:
        """Whether the text has a mark."""
        return self.marker in text

    def restore(self, text: str) -> str:
        """Return the text with the spellings where the marks are."""
        return self._mark.sub(lambda match: self._found[int(match[1])], text)

    def _put(self, match: re.Match[str]) -> str:
        self._found.append(match[0])
        return f'{self.marker}{len(self._found) - 1}{self.marker}'
