# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
The words of a line of Markdown (CommonMark's inlines, tables, math), character by character.

Libraries such as markdown-it-py parse whole documents: they would parse a streamed answer again for every piece.
"""

from __future__ import annotations

from tinychat_core.speech.sentences import CLOSING, FULL_STOPS, MARKS, Sentences
from tinychat_core.speech.spans import Entity, Formula, Label, Span, State, Tag, Target
from tinychat_core.speech.words import breaks, is_arrow, is_emoji, is_invisible, is_url, spoken

# Longer words cannot be pronounced.
_MAX_WORD = 200
_JOINER = '\u200d'  # joins emoji, and letters in words
_RUNS = frozenset('*_~=')
_PUNCTUATION = frozenset('!"#$%&\'()*+,-./:;<=>?@[\\]^_`{|}~')


class Inline:
    """Finds words and adds them to sentences."""

    def __init__(self, sentences: Sentences) -> None:
        """Start a text."""
        self._sentences = sentences
        self.is_table = False
        self._word: list[str] = []
        self._space = False  # there is white space before the word
        self._has_letter = self._is_behind_emoji = False  # whether the word has a letter; whether an emoji precedes it
        self._is_code_end = False  # the word's last character is code
        self._comma = False  # the next word is in another cell of a table
        self._said_in_line = False
        self._span: Span | None = None
        self._hides_until = ''
        self._hidden = ''
        self._run = ''  # a run of equal characters that may be emphasis
        self._before_run = ' '
        self._previous = ' '  # the last character that was read
        self._solid = ' '  # the last one that was not white space
        self._ticks = 0  # length of a run of backticks
        self._code = 0  # ticks that opened code
        self._is_escaped = self._is_exclamation = self._is_behind_bracket = False

    def push(self, character: str) -> None:
        """Process a character of a line, or the end of the line."""
        if self._hides_until:
            self._hide(character)
        elif self._span is not None:
            self._continue_span(self._span, character)
        elif self._is_exclamation:
            self._is_exclamation = False
            if character != '[':  # of an image
                self._text('!')
            self.push(character)
        elif self._run and character != self._run[0]:
            self._end_run(character)
            self.push(character)
        elif self._ticks and character != '`':
            self._end_ticks(character)
            self.push(character)
        elif character == '`' and not self._is_escaped:
            self._ticks += 1
        elif character == '\n':
            self._end_line()
        elif self._code:
            self._push_code(character)
        elif self._is_escaped:
            self._push_escaped(character)
        else:
            self._push_text(character)

    def end_block(self) -> None:
        """End a paragraph, a heading, an item of a list."""
        self._sentences.end_block()

    def finish(self) -> None:
        """End the text."""
        self.push('\n')  # a formula may span lines
        while self._span is not None:
            self._break(self._span)
            self.push('\n')
        self._sentences.end_block()

    def forget(self) -> None:
        """Discard text that is not a complete sentence yet."""
        self.__init__(self._sentences)  # type: ignore[misc]
        self._sentences.forget()

    def _push_text(self, character: str) -> None:
        is_behind_bracket, self._is_behind_bracket = self._is_behind_bracket, False
        if character == '(' and is_behind_bracket:
            self._span = Target(character)
        elif character == '[':
            self._span = Label(character, not self._previous.isspace() and not is_behind_bracket, is_behind_bracket)
        elif character == ']':
            self._is_behind_bracket = True
        elif character == '<':
            self._span = Tag(character)
        elif character == '&':
            self._span = Entity(character)
        elif character == '$':
            self._span = Formula(character)
        elif character == '\\':
            self._is_escaped = True
        elif character in _RUNS:
            self._push_run(character)
        elif character == '!' and self._previous.isspace():
            self._is_exclamation = True
        elif character == '|' and (self.is_table or self._previous.isspace()):
            self._cell()
        else:
            self._text(character)

    def _push_code(self, character: str) -> None:
        if character == '_':
            self._push_run(character)
        else:
            self._text(character)
            self._is_code_end = True
            self._previous = character

    def _push_escaped(self, character: str) -> None:
        self._is_escaped = False
        if character in '([':
            self._span = Formula('\\' + character)
        elif character in _PUNCTUATION:
            self._text(character)
        else:
            self._text('\\')
            self.push(character)

    def _push_run(self, character: str) -> None:
        self._before_run = self._before_run if self._run else self._previous
        self._run += character if len(self._run) < 3 else ''

    def _end_run(self, following: str) -> None:
        """Decide what a run of * _ ~ or = means; emphasis is not spoken."""
        run, self._run = self._run, ''
        before = self._before_run
        is_apart = before.isspace() and following.isspace()
        if run[0] == '*':
            if run == '**' and before.isalnum() and following.isdigit():
                self._text('^')
            elif run == '*' and ((is_apart and self._solid.isalnum()) or (before.isdigit() and following.isdigit())):
                self._text('×')
        elif run[0] == '_':
            if before.isalnum() and following.isalnum():
                self._text(' ')
        elif (run[0] == '~' and len(run) == 1 and not before.isalnum()) or (run[0] == '=' and (
                len(run) == 1 or before.isalnum() == following.isalnum())):
            for character in run:
                self._text(character)

    def _end_ticks(self, following: str) -> None:
        ticks, self._ticks = self._ticks, 0
        if self._code:
            self._code = 0 if ticks == self._code else self._code
        elif ticks == 1 and self._previous.isalnum() and following.isalnum():
            self._text("'")
        elif not following.isspace():
            self._code = ticks

    def _continue_span(self, span: Span, character: str) -> None:
        state = span.push(character)
        if state is State.BROKEN:
            self._break(span)
        elif state is State.DONE:
            self._span = None
            self._hides_until = span.hides_until if isinstance(span, Tag) else ''
            self._say(span)

    def _say(self, span: Span) -> None:
        for character in span.said:
            if isinstance(span, Tag) and character == '\n':
                self._end_line()
            elif isinstance(span, Tag) and character == '|':
                self._cell()
            else:
                self._text(character)
                self._is_code_end = isinstance(span, Formula)

    def _break(self, span: Span) -> None:
        self._span = None
        text = span.text[len(span.first):]
        if isinstance(span, Target):  # it may start anywhere, and is read only once
            for character in span.text:
                self._text(character) if character != '\n' else self._end_line()
            return
        if not isinstance(span, Label):
            self._text(span.first[-1])
        for character in text:
            self.push(character)

    def _hide(self, character: str) -> None:
        self._hidden = (self._hidden + character.lower())[-len(self._hides_until):]
        if self._hidden == self._hides_until:
            self._hides_until = self._hidden = ''

    def _cell(self) -> None:
        self._end_word()
        self._comma = self._said_in_line
        self._space = True
        self._previous = ' '

    def _text(self, character: str) -> None:
        """Process a literal character."""
        if is_invisible(character) or (character == _JOINER and not self._word):
            return
        if is_arrow(character):
            self._cell()
            return
        self._previous = character
        if is_emoji(character):
            self._end_word()
            self._is_behind_emoji, self._previous = True, ' '
            return
        if self._is_behind_emoji and not character.isspace():
            self._is_behind_emoji = False
            self._space = character.isalnum() or (self._space and character not in MARKS)
        if character.isspace():
            self._end_word()
            if not self._space:
                self._sentences.see_space()
            self._space = True
            return
        self._solid = character
        if breaks(character):
            self._end_word()
            if character not in CLOSING and character not in FULL_STOPS:
                self._sentences.see(character)
            self._word = [character]
            self._end_word()
            return
        if self._word[-3:] == [character] * 3 and not character.isalnum():
            return
        if len(self._word) >= _MAX_WORD:
            if is_url(''.join(self._word)):
                return
            self._end_word()
        self._word.append(character)
        self._is_code_end = False
        if not self._has_letter and character.isalnum():
            self._has_letter = True
            self._sentences.see(character)

    def _end_word(self) -> None:
        if not self._word:
            return
        text, self._word, self._has_letter = ''.join(self._word), [], False
        said = text if self._is_code_end else spoken(text)
        if said:
            if self._comma and any(character.isalnum() for character in said):
                self._sentences.add_comma()
                self._comma = False
            is_address = '@' in said or (said != text and is_url(text))
            self._sentences.add(said, self._space, self._is_code_end, is_address)
            self._space = False
            self._said_in_line = True
        self._is_code_end = False

    def _end_line(self) -> None:
        self._end_word()
        self._sentences.end_line()
        self._space = True
        self._comma = self._said_in_line = self.is_table = False
        self._code = self._ticks = 0
        self._run = ''
        self._is_escaped = self._is_behind_bracket = False
        self._previous = self._solid = ' '
