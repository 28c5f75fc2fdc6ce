# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Spans of a line that are recognized only at their end: tags, entities, link targets, formulas.

Each takes one character at a time, up to a limit, and gives up as soon as it cannot be what it started as. A span also
gives up at its own start character, so no character is read more often than there are kinds of spans.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import auto, Enum
import html
import re

from tinychat_core.speech import formulas
from tinychat_core.speech.languages import word_set


class State(Enum):
    """The state of a span after a character."""

    OPEN = auto()
    DONE = auto()
    BROKEN = auto()  # not a span: read all but its first character again


# The meaning of a tag in speech: a new line, the next cell of a table, or nothing.
_LINES = word_set(
    'address article aside blockquote br dd details div dl dt figcaption figure footer h1 h2 h3 h4 h5 h6 header hr li '
    'main nav ol p section summary table tbody thead tr ul')
_CELLS = word_set('td th')
_UNSPOKEN = word_set('script style pre svg math template noscript iframe')
_INLINE = word_set(
    'a abbr b bdi bdo big center cite code del dfn em font i img input ins kbd label mark q s samp small span strike '
    'strong sub sup time tt u var wbr html head body title meta link answer')
_TAG = re.compile(r'</?([a-zA-Z][\w:-]*)(?:\s[^<>]*)?/?>')
_NAME = re.compile(r'<([^\W\d_][\w .-]{0,40})>')
_ADDRESS = re.compile(r'<([a-zA-Z][a-zA-Z0-9+.-]*:[^\s<>]+|[^\s<>@]+@[^\s<>@]+)>')
_MONEY = re.compile(r'\$\d[\d,.]*[kKmMbB]?(?:[\s,.;:!?)\]]+[^\W\d_]|[.,;:!?]*\s[^\W\d_])')

_PRICES = re.compile(r'\$\d[\d,.]*[kKmMbB]?[-–—/+,]\$')


class Span(ABC):
    """A started span; `said` is its spoken text."""

    LIMIT = 300

    def __init__(self, first: str) -> None:
        """Start with the first character."""
        self.first = self.text = first
        self.said = ''

    def push(self, character: str) -> State:
        """Process a character; `text` also keeps one that breaks the span."""
        self.text += character
        if character == '\n' or len(self.text) > self.LIMIT:
            return State.BROKEN
        return self._see(character)

    @abstractmethod
    def _see(self, character: str) -> State:
        """Process a character that does not break the span."""


class Tag(Span):
    """<b>, <br/>, <!-- -->, <https://…>, <name>; `hides_until` ends the text that is not spoken."""

    hides_until = ''

    def _see(self, character: str) -> State:
        if len(self.text) == 2 and not (character.isalpha() or character in '/!?|'):
            return State.BROKEN
        if self.text == '<!--':
            self.hides_until = '-->'
            return State.DONE
        if character == '<':
            return State.BROKEN
        if character != '>':
            return State.OPEN
        tag, name, address = _TAG.fullmatch(self.text), _NAME.fullmatch(self.text), _ADDRESS.fullmatch(self.text)
        if self.text[1] in '!?|':
            return State.DONE
        if tag and (kind := tag[1].lower()) in _LINES | _CELLS | _UNSPOKEN | _INLINE:
            self.said = '\n' if kind in _LINES else '|' if kind in _CELLS else ''
            if kind in _UNSPOKEN and self.text[1] != '/' and not self.text.endswith('/>'):
                self.hides_until = f'</{kind}>'
            return State.DONE
        if address:
            self.said = address[1]
        elif name:
            self.said = name[1]
        return State.DONE if address or name or tag else State.BROKEN


class Entity(Span):
    """&amp; and the like."""

    LIMIT = 34

    def _see(self, character: str) -> State:
        if character == ';' and len(self.text) > 2:
            self.said = html.unescape(self.text)
            return State.DONE if self.said != self.text else State.BROKEN
        return State.OPEN if character.isalnum() or self.text == '&#' else State.BROKEN


class Target(Span):
    """The target of a link, from its bracket on; it is not spoken."""

    LIMIT = 2000

    def __init__(self, first: str) -> None:
        super().__init__(first)
        self._depth = 1
        self._quote = ''

    def _see(self, character: str) -> State:
        if self._quote:
            self._quote = '' if character == self._quote else self._quote
        elif character in '"\'' and self.text[-2].isspace():
            self._quote = character
        elif character == '(':
            self._depth += 1
        elif character == ')':
            self._depth -= 1
        elif self.text[-2].isspace() and not character.isspace():
            return State.BROKEN
        return State.OPEN if self._depth else State.DONE


class Label(Span):
    """[^1], [12] after a word, [x] in a list, [text][label]: not spoken, unlike other brackets."""

    LIMIT = 60

    def __init__(self, first: str, is_behind_word: bool, is_second: bool) -> None:
        super().__init__(first)
        self._is_behind_word = is_behind_word
        self._is_second = is_second

    def _see(self, character: str) -> State:
        if character != ']':
            is_label = self._is_second or self.text.startswith('[^') or (self._is_behind_word and character.isdigit())
            return State.OPEN if is_label and character != '[' else State.BROKEN
        return State.DONE if len(self.text) > 2 or self._is_second else State.BROKEN


class Formula(Span):
    r"""$x$, $$x$$, \(x\), \[x\]; not a price."""

    def __init__(self, first: str) -> None:
        super().__init__(first)
        self._end = {'\\(': '\\)', '\\[': '\\]'}.get(first, '$')

    def push(self, character: str) -> State:
        if character == '\n' and self._end != '$' and len(self.text) < self.LIMIT:
            character = ' '
        return super().push(character)

    def _see(self, character: str) -> State:
        if self._end != '$':
            if len(self.text) > 2 and self.text.endswith(self.first) and self.first != '$':
                return State.BROKEN
            return self._close(2) if len(self.text) > 3 and self.text.endswith(self._end) else State.OPEN
        if self.text == '$$':
            self._end = '$$'
            return State.OPEN
        if (len(self.text) == 2 and character.isspace()) or (len(self.text) < 24 and _MONEY.fullmatch(self.text)):
            return State.BROKEN
        if character == '$':
            return State.BROKEN if self.text[-2].isspace() or _PRICES.fullmatch(self.text) else self._close(1)
        if self.text.endswith('. ') and self.text[-3:-2].isalpha():  # a sentence, so not a formula
            return State.BROKEN
        return State.OPEN

    def _close(self, marks: int) -> State:
        self.said = formulas.spoken(self.text[marks:-marks])
        return State.DONE
