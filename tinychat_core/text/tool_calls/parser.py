# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Splits an answer, which arrives in pieces, into a thought, text and tool calls."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
import secrets
import string

from tinychat_core.text.tool_calls.grammar import AnswerParts
from tinychat_core.text.tool_calls.tools import ToolCall

_ALPHANUMERIC = string.ascii_letters + string.digits
_NAME = _ALPHANUMERIC + '_.:/-'
_SPACE = ' \t\r\n'
_PLAIN_BETWEEN = _SPACE + ',[]`json'  # between calls without marks, code blocks included


@dataclass(frozen=True)
class CallDelta:
    """
    A piece of a call.

    `index`: the index of the call in the answer. The first piece has the whole `id` and `name`; in all others they are
    empty. The `arguments` of all pieces together are the call's. `is_complete`: this is the last piece.
    """

    index: int
    arguments: str = ''
    id: str = ''
    name: str = ''
    is_complete: bool = False


@dataclass(frozen=True)
class Delta:
    """What a piece of an answer adds to its parts; '' and () for nothing."""

    text: str = ''
    thought: str = ''
    calls: tuple[CallDelta, ...] = ()


class _OverError(Exception):
    """The answer has ended within a call."""


# A step yields when it needs more of the answer.
_Found = Generator[None, None, bool]


class AnswerParser:
    """
    Splits an answer into its parts; the sizes of the pieces do not matter.

    `text` and `thoughts` are what has been returned so far, `calls` the complete calls. White space around thoughts and
    calls belongs to no part. A model without a constraint may write an invalid call: this is text. A call that the end
    of the answer cuts off belongs to no part.

    `is_thinking`, `is_calling`: whether the answer is within a thought or a call; after `finish`, whether it was cut
    off there.
    """

    def __init__(self, answer: AnswerParts, new_id: Callable[[], str] | None = None) -> None:
        """Start an answer; `new_id` returns an id for a call (default: 9 random letters and digits)."""
        self.text = self.thoughts = ''
        self.calls: list[ToolCall] = []
        self.is_thinking = answer.is_thinking
        self.is_calling = False
        self._answer = answer
        self._form = answer.form if answer.use.callable else None
        self._openings = self._form.openings if self._form else ()
        self._new_id = new_id or _random_id
        self._held = ''  # received, but not assigned to a part yet
        self._read = ''  # the beginning of a possible call; it becomes text if the call is invalid
        self._is_over = False
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._calls: list[CallDelta] = []
        self._parts: Generator[None, None, None] | None = self._all_parts()
        next(self._parts, None)

    def push(self, piece: str) -> Delta:
        """Take a piece of the answer, and return what it adds to the parts."""
        self._held += piece
        return self._advance()

    def finish(self) -> Delta:
        """End the answer, and return what was held back."""
        self._is_over = True
        return self._advance()

    def _advance(self) -> Delta:
        if self._parts is not None and (self._held or self._is_over):
            try:
                next(self._parts)
            except (StopIteration, _OverError):
                self._parts = None
        delta = Delta(''.join(self._texts), ''.join(self._thoughts), tuple(self._calls))
        self._texts, self._thoughts, self._calls = [], [], []
        return delta

    def _all_parts(self) -> Generator[None, None, None]:
        marks, form = self._answer.thoughts, self._form
        yield
        if marks and (self.is_thinking or (yield from self._begins_with(marks.opening))):
            self.is_thinking = True
            yield from self._skip_space()
            if not (yield from self._until((marks.closing,), self._put_thought)):
                return
            self.is_thinking = False
            yield from self._skip_space()
        has_free_text = not (self._answer.json_schema or self._answer.regex)
        if form and not form.opening and has_free_text and (yield from self._begins_with('{', takes=False)):
            self._read = ''
            yield from self._section()
        if form and form.may_be_plain and has_free_text and not self._answer.use.is_required:
            yield from self._plain_section()
        while mark := (yield from self._until(self._openings, self._put_text)):
            self._read += mark
            yield from self._section()

    # --- calls ----------------------------------------------------------------------------------------------

    def _section(self) -> Generator[None, None, None]:
        """Read the calls after an opening; if they are not calls, return them as text."""
        form = self._form
        assert form is not None
        self.is_calling = True
        found = yield from self._literal(form.begin + form.before_name)
        if not form.before_name:
            yield from self._skip_space()
        while found and (yield from self._call()):
            self.is_calling, self._read = False, ''
            yield from self._literal(form.after_arguments)
            if form.between is None or not (yield from self._literal(form.between + form.before_name)):
                yield from self._literal(form.closing)
                yield from self._skip_space()
                return
            self.is_calling = True
        self.is_calling = False
        self._held, self._read = self._read + self._held, ''
        self._openings = ()

    def _plain_section(self) -> Generator[None, None, None]:
        """Read calls without marks, which the answer may begin with; if it does not, nothing is removed from it."""
        form = self._form
        assert form is not None
        try:
            self._read = ''
            if (yield from self._literal('```')):
                yield from self._word(string.ascii_letters)
            yield from self._literal('[')
            while (yield from self._literal(form.before_name)) and (yield from self._call()):
                self.is_calling, self._read = False, ''
                yield from self._literal(form.after_arguments)
                yield from self._word(_PLAIN_BETWEEN)
        except _OverError:
            if self.is_calling or self.calls:
                raise
        self._held, self._read = self._read + self._held, ''

    def _call(self) -> _Found:
        """Read a call from its name to the end of its arguments."""
        form = self._form
        assert form is not None
        name = yield from self._word(_NAME)
        call_id = ''
        if form.call_id and (yield from self._literal(form.call_id)):
            call_id = yield from self._word(_ALPHANUMERIC)
        if name not in {tool.name for tool in self._answer.use.callable}:
            return False
        if not (yield from self._literal(form.before_arguments)):
            return False
        while not (held := self._held.lstrip(_SPACE)):
            yield from self._more()
        if held[0] != '{':
            return False
        self._held = held
        call_id = call_id or self._new_id()
        index = len(self.calls)
        self.is_calling = True
        self._calls.append(CallDelta(index, '', call_id, name))
        arguments = yield from self._object(index)
        self.calls.append(ToolCall(call_id, name, arguments))
        return True

    def _object(self, index: int) -> Generator[None, None, str]:
        """Report the pieces of a JSON object of arguments, and return the whole object."""
        arguments = ''
        depth, is_quoted, is_escaped = 0, False, False
        while True:
            for i, character in enumerate(self._held):
                if is_escaped:
                    is_escaped = False
                elif is_quoted and character == '\\':
                    is_escaped = True
                elif character == '"':
                    is_quoted = not is_quoted
                elif not is_quoted:
                    depth += (character in '{[') - (character in '}]')
                    if not depth:
                        rest, self._held = self._held[:i + 1], self._held[i + 1:]
                        self._calls.append(CallDelta(index, rest, is_complete=True))
                        return arguments + rest
            if self._held:
                self._calls.append(CallDelta(index, self._held))
            arguments += self._held
            self._held = ''
            yield from self._more()

    # --- steps of several parts -----------------------------------------------------------------------------

    def _until(self, marks: Sequence[str], put: Callable[[str], None]) -> Generator[None, None, str]:
        """Pass the text before the first mark to `put`, and return the mark; '' if the answer ends before it."""
        while True:
            place, mark = min(((self._held.find(mark), mark) for mark in marks if mark in self._held),
                              default=(-1, ''))
            if mark:
                before = self._held[:place].rstrip(_SPACE)
                self._read, self._held = self._held[len(before):place], self._held[place + len(mark):]
                put(before)
                return mark
            sure = len(self._held)
            if marks and not self._is_over:
                sure -= max(_overlap(self._held, mark) for mark in marks)
                sure = len(self._held[:sure].rstrip(_SPACE))
            before, self._held = self._held[:sure], self._held[sure:]
            put(before)
            if self._is_over:
                return ''
            yield

    def _begins_with(self, mark: str, takes: bool = True) -> _Found:
        """Return whether white space and the mark come next; if so, remove both (or only the space)."""
        while not (held := self._held.lstrip(_SPACE)).startswith(mark):
            if self._is_over or not mark.startswith(held):
                return False
            yield
        self._held = held[len(mark):] if takes else held
        return True

    def _literal(self, literal: str) -> _Found:
        """Remove a literal, ignoring differences in white space, and return whether it was there."""
        at = 0
        for character in ''.join(literal.split()):
            while (at := _behind_space(self._held, at)) == len(self._held):
                yield from self._more()
            if self._held[at] != character:
                return False
            at += 1
        self._read += self._held[:at]
        self._held = self._held[at:]
        return True

    def _word(self, alphabet: str) -> Generator[None, None, str]:
        """Remove and return the characters of an alphabet."""
        while (end := next((i for i, character in enumerate(self._held) if character not in alphabet), -1)) < 0:
            yield from self._more()
        word, self._held = self._held[:end], self._held[end:]
        self._read += word
        return word

    def _skip_space(self) -> Generator[None, None, None]:
        while not self._is_over:
            self._held = self._held.lstrip(_SPACE)
            if self._held:
                return
            yield

    def _more(self) -> Generator[None, None, None]:
        if self._is_over:
            raise _OverError
        yield

    def _put_text(self, text: str) -> None:
        self.text += text
        self._texts.append(text)

    def _put_thought(self, thought: str) -> None:
        self.thoughts += thought
        self._thoughts.append(thought)


def _overlap(text: str, mark: str) -> int:
    """Return how many characters at the end of a text may be the beginning of a mark."""
    return next((count for count in range(min(len(text), len(mark) - 1), 0, -1) if text.endswith(mark[:count])), 0)


def _behind_space(text: str, at: int) -> int:
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at


def _random_id() -> str:
    return ''.join(secrets.choice(_ALPHANUMERIC) for _ in range(9))
