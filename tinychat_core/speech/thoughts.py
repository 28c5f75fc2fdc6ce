# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
What a model says to itself, or to a tool, is left out of an answer that comes character by character.

The marks are those of `tinychat_core.text.thoughts`, and those of gpt-oss (harmony: `<|channel|>analysis<|message|>`).
"""

from __future__ import annotations

from tinychat_core.text.thoughts import THOUGHT_PAIRS, TOOL_PAIRS

_PAIRS = {**THOUGHT_PAIRS, **TOOL_PAIRS}
# Harmony: a header names the role or the channel; what follows <|message|> is for the user in the channel `final`.
_HEADERS = ('<|start|>', '<|channel|>')
_MESSAGE = '<|message|>'
_HARMONY_ENDS = ('<|end|>', '<|return|>', '<|call|>', *_HEADERS)
_CLOSING = tuple(mark for marks in _PAIRS.values() for mark in marks if mark)
_VISIBLE = (*_PAIRS, *_HEADERS, *_CLOSING, _MESSAGE, '<|end|>', '<|return|>', '<|call|>')
_FIRST = frozenset(mark[0] for mark in (*_VISIBLE, *_HARMONY_ENDS))
_LONGEST_HEADER = 200


class Thoughts:
    """Lets through what is said to the user; `push` takes one character."""

    def __init__(self) -> None:
        """Begin an answer."""
        self._held = ''  # what may become a mark
        self._marks: tuple[str, ...] = _VISIBLE
        self._is_hidden = False
        self._header: list[str] | None = None
        self._before = '\n'
        self.is_stray_end = False

    def push(self, character: str) -> str:
        """
        Return the characters that are certain to be said, often the one that was given.

        `is_stray_end` is true after a closing mark without an opening one: all before it was a thought.
        """
        self.is_stray_end = False
        if not self._held and character not in _FIRST and self._header is None:
            if self._is_hidden:
                return ''
            self._before = character
            return character
        said = ''
        self._held += character
        while self._held:
            held = self._held.lower()
            if held in self._marks:
                mark, self._held = self._held, ''
                if self._before in '`\'"' and not self._is_hidden:  # somebody explains the mark
                    said += mark
                else:
                    self._see(held)
            elif any(mark.startswith(held) for mark in self._marks):
                break
            else:
                said += self._let_go()
        return said

    def finish(self) -> str:
        """Return what was held back at the end of the answer."""
        said = ''
        while self._held:
            said += self._let_go()
        return said

    def _let_go(self) -> str:
        first, self._held = self._held[0], self._held[1:]
        if self._header is not None:
            self._header.append(first)
            if len(self._header) > _LONGEST_HEADER:  # no header after all
                self._show()
        if self._is_hidden:
            return ''
        self._before = first
        return first

    def _see(self, mark: str) -> None:
        if self._is_hidden and self._header is None and mark not in _HEADERS:
            self._show()
        elif mark in _HEADERS:
            self._hide((_MESSAGE, *_HARMONY_ENDS))
            self._header = []
        elif self._header is not None:
            header = ''.join(self._header).strip()
            if mark == _MESSAGE and not header.startswith(('final', 'assistant')) and header:
                self._hide(_HARMONY_ENDS)
            else:
                self._show()
        elif mark in _PAIRS:
            self._hide(tuple(end for end in _PAIRS[mark] if end))
        elif mark in _CLOSING:
            self.is_stray_end = True

    def _hide(self, marks: tuple[str, ...]) -> None:
        self._is_hidden, self._marks, self._header = True, marks, None

    def _show(self) -> None:
        self._is_hidden, self._marks, self._header = False, _VISIBLE, None
        self._before = '\n'
