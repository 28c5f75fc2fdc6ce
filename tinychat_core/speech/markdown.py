# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Markdown blocks, character by character: the kind of a line is decided as soon as it is certain."""

from __future__ import annotations

import re

from tinychat_core.speech.inline import Inline

_BULLETS = frozenset('-+*•–—◦▪▸‣·●○■□➤')
_FENCE = re.compile(r'`{3,}|~{3,}')
_BOX = re.compile(r'\[[ xX]\]\s')
_DEFINITION = re.compile(r'\[([^\]\n]+)\]:')
_LONGEST_LABEL = 100
_LONGEST_RUN = 200  # equal characters at the start of a line


class Markdown:
    """Removes code blocks and the marks at the start of lines; the rest goes to `Inline`."""

    def __init__(self, inline: Inline) -> None:
        """Start a text."""
        self._inline = inline
        self._begin: str | None = ''  # the start of a line while its kind is unknown
        self._indent = 0
        self._fence = ''  # the fence that opened a code block
        self._is_info = False  # in the rest of the line after a fence
        self._skips_line = False
        self._is_blank_before = self._is_list = False

    def push(self, character: str) -> None:
        """Process a character."""
        if self._fence:
            self._push_code(character)
        elif character == '\n':
            self._end_line()
        elif self._skips_line:
            pass
        elif self._begin is None:
            self._inline.push(character)
        else:
            self._push_begin(self._begin + character)

    def finish(self) -> None:
        """End the text; an open code block extends to its end."""
        if (self._fence and not self._is_info) or self._skips_line:
            self._inline.end_block()
            return
        self._end_begin()
        self._inline.finish()

    def forget(self) -> None:
        """Discard text that is not a complete sentence yet."""
        self._inline.forget()

    def _push_begin(self, text: str) -> None:
        """Examine the start of a line, without its white space and the marks already recognized."""
        first, last = text[0], text[-1]
        self._begin = text[:_LONGEST_RUN]
        if first in ' \t\u00a0':
            self._begin = ''
            self._indent += 4 if first == '\t' else 1
        elif self._indent >= 4 and self._is_blank_before and not self._is_list:
            self._skips_line, self._begin = True, None
        elif first == '>':
            self._begin = ''
            self._start_block()
        elif first == '|':
            self._start_block()
            self._inline.is_table = True
            self._end_begin()
        elif first == '#':
            self._push_heading(text)
        elif first in '`~':
            self._push_fence(text)
        elif first == '[':
            self._push_bracket(text)
        elif first in _BULLETS:
            if len(text) > 1 and last.isspace():
                self._start_block()
                self._is_list, self._begin = True, ''
                self._indent += 1
            elif len(text) > 1:
                self._end_begin()
        elif first.isdigit():
            self._push_number(text)
        else:
            self._is_list = self._is_list and self._indent > 0
            self._end_begin()

    def _push_heading(self, text: str) -> None:
        if text[-1].isspace() and len(text) <= 7:
            self._start_block()
            self._begin = ''
        elif text[-1] != '#' or len(text) > 6:
            self._end_begin()

    def _push_fence(self, text: str) -> None:
        if text[-1] == text[0]:
            return
        if _FENCE.fullmatch(text[:-1]):
            self._open_fence(text[:-1])
            self._push_code(text[-1])
        else:
            self._end_begin()

    def _open_fence(self, fence: str) -> None:
        self._fence, self._is_info, self._begin = fence, True, ''
        self._start_block()

    def _push_bracket(self, text: str) -> None:
        """Remove the check box of a task; the definition of a link is not spoken."""
        definition = _DEFINITION.match(text)
        if _BOX.fullmatch(text):
            self._begin = ''
        elif definition and definition[1].startswith('^'):
            self._begin = None
        elif definition:
            self._skips_line, self._begin = True, None
        elif len(text) > _LONGEST_LABEL or (']' in text and text[-1] != ']'):
            self._end_begin()

    def _push_number(self, text: str) -> None:
        """Speak the number of an item; more marks may follow it."""
        if re.fullmatch(r'\d{1,9}[.)]?', text):
            return
        if text[-1].isspace() and not text[-2].isdigit():
            self._start_block()
            self._is_list = True
            self._indent += 1
            self._end_begin()
            self._begin = ''
        else:
            self._end_begin()

    def _push_code(self, character: str) -> None:
        """Skip a code block."""
        if self._is_info:  # also code between fences on one line
            if character == '\n':
                self._is_info, self._begin = False, ''
            elif character == self._fence[0] == '`':
                self._begin = (self._begin or '') + character
                if self._begin == self._fence:
                    self._fence, self._is_info, self._begin = '', False, None
            else:
                self._begin = ''
            return
        if character == '\n':
            line, self._begin = self._begin, ''
            if line is not None and len(line) >= len(self._fence):
                self._fence = ''
                self._start_line(False)
        elif self._begin is not None and character in f'{self._fence[0]} \t\r>':
            self._begin += character if character == self._fence[0] and len(self._begin) < _LONGEST_RUN else ''
        else:
            self._begin = None

    def _end_line(self) -> None:
        if _FENCE.fullmatch(self._begin or ''):
            self._open_fence(self._begin or '')
            self._push_code('\n')
            return
        is_blank = self._begin == ''
        self._end_begin()
        self._inline.push('\n')
        if is_blank:
            self._inline.end_block()
        self._start_line(is_blank)

    def _start_line(self, is_blank_before: bool) -> None:
        self._begin, self._indent, self._skips_line = '', 0, False
        self._is_blank_before = is_blank_before

    def _start_block(self) -> None:
        """Start an item, a heading or a quotation, which ends the paragraph before it."""
        self._inline.end_block()

    def _end_begin(self) -> None:
        """Pass the start of a line on to be spoken."""
        begin, self._begin = self._begin, None
        for character in begin or '':
            self._inline.push(character)
