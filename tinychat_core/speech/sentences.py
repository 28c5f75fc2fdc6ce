# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Splits a stream of words into sentences.

Each word is examined once, and again when the next one decides whether it ended a sentence; a sentence has at most
MAX_LENGTH characters. So the work is linear in the text.
"""

from __future__ import annotations

from enum import auto, Enum
import re

from tinychat_core.speech.languages import AFTER_QUOTATION, ALL, ENGLISH, NAMES_WITH_MARK

# Longer ones are split at a pause.
MAX_LENGTH = 400
# A line of at least this length that continues in lower case was wrapped.
_WRAPPED = 40

# These always end a sentence: Chinese, Japanese, Hindi, Urdu, Khmer, Burmese, Amharic.
FULL_STOPS = '。！？｡।॥۔។။።'
# These end a sentence before white space.
MARKS = '.!?…؟։'
CLOSING = '"\'”’»)]›」』）】》〉'
# A word may end with them: German and other quotations close with the mark that opens English ones.
_BEHIND_WORD = CLOSING + '“‘«‹'
_BREATH = tuple(',;:，、；：—–')
_ROMAN = re.compile(r'[IVXLC]+')
_NUMBER = re.compile(r'\d{1,3}')
# Letters with full stops between them: a.m, U.S, J.-P, Ph.D, B.Sc; but not a.txt
_DOTTED = re.compile(r'(?:[^\W\d_]\.-?)+[^\W\d_]|'
                     r'(?:[A-Z]\w{0,3}\.)*[A-Z]\.(?:[A-Z]\w{0,3}\.)*[A-Z]\w{0,3}|[A-Z]\w{1,2}\.[A-Z]')
_OPENING = '("\'„“«»‹¿¡[‘「『'
_LEADING_MARKS = re.compile(r'^(?:[.…,;:!?]+\s+)+')
_ELISION = re.compile(r"^(?:[cdjlmnst]|qu)['’](?=\w)")
_INITIAL = re.compile(r'[^\W\d_]\.')
_SHORT = re.compile(r'[^\W\d_]{1,3}\.')


class _End(Enum):
    """A possible end of a sentence, and what decides it."""

    NONE = auto()
    ALONE = auto()  # ended, unless more marks or quotation marks follow
    SURE = auto()  # the same, but white space must follow
    LOWER = auto()  # ended, unless a lower-case letter follows
    WORD = auto()  # the whole next word decides
    LINE = auto()  # a long line without a mark: ended, unless a lower-case letter follows


class Sentences:
    """
    Splits words into sentences; `take()` returns the complete ones.

    A sentence ends with its line, with 。 and similar marks, or with . ! ? … before white space. A full stop ends none
    after an abbreviation, an initial, or the number of a list or an ordinal, as far as `languages` tells, nor where the
    next word begins with a small letter. What has no letter and no digit is left out.
    """

    def __init__(self) -> None:
        """Start a text."""
        self._ready: list[str] = []
        self._words: list[str] = []  # of this sentence, each with the space before it
        self._length = 0
        self._line_length = 0
        self._after: list[str] = []  # signs after a possible end, which belong to the next sentence
        self._end = _End.NONE
        self._last = self._before_last = ''

    def take(self) -> list[str]:
        """Return the sentences that have been completed."""
        ready, self._ready = self._ready, []
        return ready

    def add(self, text: str, space: bool, quoted_code: bool = False, is_address: bool = False) -> None:
        """
        Add a word.

        `space`: white space stood before it. `quoted_code`: its marks end nothing. `is_address`: it may begin a
        sentence with a small letter.
        """
        spaced = f' {text}' if space else text
        body = text.rstrip(_BEHIND_WORD)
        core = body.rstrip(MARKS)
        is_word = any(character.isalnum() for character in core)
        if self._end is not _End.NONE:
            if is_word:
                self._decide(text.capitalize() if is_address else text)
            elif self._goes_on(text, core, space):
                self._words += [*self._after, spaced]
                self._after = []
                self._grow(len(spaced))
                self._see_marks(core, body[len(core):], text[len(body):])
                return
            elif self._end is _End.ALONE:
                self._publish()
            else:
                self._after.append(spaced)
                self._grow(len(spaced))
                return
        self._words.append(spaced)
        if is_word:
            self._before_last, self._last = self._last, text
        if quoted_code:
            self._end = _End.NONE
        else:
            self._see_marks(core, body[len(core):], text[len(body):], is_word)
        self._grow(len(spaced))

    def add_comma(self) -> None:
        """Separate the next word from those before it, where no mark does yet."""
        if self._words and self._end is _End.NONE and self._last_character() not in _BREATH:
            self._words.append(',')
            self._grow(1)

    def see(self, character: str) -> None:
        """Examine the first letter or digit of a word, which often shows that a sentence has ended."""
        if self._end in (_End.SURE, _End.ALONE) or (
                self._end in (_End.LOWER, _End.LINE) and not character.islower()):
            if self._end is _End.ALONE and self._is_quotation_going_on(character):
                return
            self._publish()

    def see_space(self) -> None:
        """Process white space."""
        if self._end is _End.ALONE:
            self._publish()

    def end_line(self) -> None:
        """End a line, and with it a sentence, unless the line is long and the next continues in lower case."""
        if self._end is _End.NONE and self._line_length >= _WRAPPED and not self._last.endswith(':'):
            self._end = _End.LINE
        elif self._end is not _End.LINE:
            self.end_block()
        self._line_length = 0

    def end_block(self) -> None:
        """End a paragraph, a heading, an item of a list or the text."""
        self._words += self._after
        self._after = []
        self._publish()
        self._line_length = 0

    def forget(self) -> None:
        """Discard the incomplete sentence."""
        self._words, self._after, self._length, self._end = [], [], 0, _End.NONE
        self._ready = []

    def _goes_on(self, text: str, core: str, space: bool) -> bool:
        """Return whether signs after a possible end belong to it: more marks, closing quotation marks."""
        if core.strip(FULL_STOPS) or (self._end is _End.ALONE and not core and text[0] not in CLOSING + MARKS):
            return False
        if text[0] == '"' and not space and sum(word.count('"') for word in self._words) % 2 == 0:
            return False  # it opens a quotation
        return not space or (self._end is not _End.ALONE and not core and text[0] in '!?؟»›)]”')

    def _see_marks(self, core: str, marks: str, closing: str, is_word: bool = False) -> None:
        if core and core[-1] in FULL_STOPS and not marks:
            self._end = _End.ALONE
        elif '!' in marks or '?' in marks or '؟' in marks:
            is_name = (core + marks).lower() in NAMES_WITH_MARK
            self._end = _End.LOWER if closing or is_name else _End.SURE
        elif marks:
            is_full_stop = marks == '.' and is_word and not closing.strip(')]')
            self._end = _End.WORD if is_full_stop and self._needs_word(core) else _End.LOWER
        elif not core and self._end is not _End.NONE:  # closing quotation marks after a mark
            self._end = _End.LOWER if self._end is _End.SURE else self._end
        else:
            self._end = _End.NONE

    def _needs_word(self, core: str) -> bool:
        """Return whether a full stop after this word may belong to the word."""
        word = core.lstrip(_OPENING).rstrip(CLOSING)
        lower = _abbreviation(word)
        return (len(word) == 1 or _is_title(word) or lower in _ABBREVIATIONS
                or self._compound(lower) in _ABBREVIATIONS
                or any(pattern.fullmatch(word) for pattern in (_DOTTED, _NUMBER, _ROMAN)))

    def _compound(self, lower: str) -> str:
        """Return an abbreviation together with the one before it, as in the tables: z. B. is z.b there."""
        before = self._before_last.lstrip(_OPENING).lower()
        return before + lower if before.endswith('.') else lower

    def _decide(self, following: str) -> None:
        """Emit the sentence if it ended before the word `following`."""
        if self._end is _End.ALONE:
            has_ended = not self._is_quotation_going_on(following[0])
        elif self._end is _End.WORD:
            has_ended = self._ends_before(following)
        else:
            has_ended = self._end is _End.SURE or not _begins_small(following)
        if has_ended:
            self._publish()
        else:
            self._words += self._after
            self._after, self._end = [], _End.NONE

    def _ends_before(self, following: str) -> bool:
        """Return whether the full stop of the last word also ends the sentence."""
        word = self._last.rstrip(CLOSING).rstrip('.').lstrip(_OPENING).rstrip(CLOSING)
        lower = _abbreviation(word)
        compound = self._compound(lower)
        before = self._before_last.rstrip(':').lower()
        bare = following.strip(_OPENING + CLOSING + ',;:!?….')
        is_numeral = bare[:1].isdigit() or bool(_ROMAN.fullmatch(bare))
        is_starter = bare.lower() in ALL.starters and not _INITIAL.fullmatch(following)
        if _begins_small(following):
            return False
        if _is_title(word) or compound in ALL.never or (lower in ALL.never and not word.isupper()):
            return False
        is_label = (len(word) == 1 and word.isalpha()) or _NUMBER.fullmatch(word) or _ROMAN.fullmatch(word)
        if is_label and len(self._words) == 1:  # the number of an item: 1. or IV. or B.
            return False
        if lower in ALL.before_number and is_numeral and not (is_starter and lower == 'no'):
            return False
        if compound in ALL.before_capital:
            return bare[:1].isalpha() and bare.lower() not in ALL.after_time
        if lower in ALL.usually or compound in ALL.usually or _DOTTED.fullmatch(word):
            return is_starter
        if _NUMBER.fullmatch(word):
            return not (bare.lower() in ALL.after_ordinal or (before in ALL.before_ordinal and not is_starter
                        and bare[:1].isupper()) or (self._before_last.endswith(':') and not is_starter))
        if len(word) == 1 and word.isalpha():
            if word.islower():
                return not (_SHORT.fullmatch(following) or bare[:1].isdigit())
            if (word == 'I' and self._before_last[:1].islower()) or before in ALL.labels:
                return True
            return is_starter and bare.lower() not in ALL.particles
        return True

    def _is_quotation_going_on(self, character: str) -> bool:
        last = self._last_character()
        if last in '」』':
            return character in AFTER_QUOTATION
        return last in '）)' and '\u3041' <= character <= '\u309f'

    def _last_character(self) -> str:
        return self._words[-1][-1] if self._words else ' '

    def _grow(self, count: int) -> None:
        self._length += count
        self._line_length += count
        if self._length > MAX_LENGTH:
            self._cut()

    def _cut(self) -> None:
        """Emit the longest part that ends at a pause, or all but the last word."""
        words = [*self._words, *self._after]
        rest, length = [words.pop()], 0
        for count in range(len(words), 0, -1):
            length += len(words[count - 1])
            if words[count - 1].endswith(_BREATH):
                rest = words[count:] + rest
                words = words[:count]
                break
            if length > MAX_LENGTH // 2:
                break
        self._say(words)
        self._words, self._after, self._length = rest, [], sum(map(len, rest))

    def _publish(self) -> None:
        self._say(self._words)
        self._words, self._after, self._end = self._after, [], _End.NONE
        self._length = sum(map(len, self._words))
        self._before_last = self._last = ''

    def _say(self, words: list[str]) -> None:
        text = _LEADING_MARKS.sub('', ''.join(words).strip())
        if any(character.isalnum() for character in text):
            self._ready.append(text)


_ABBREVIATIONS = ALL.never | ALL.before_number | ALL.before_capital | ALL.usually


def _is_title(word: str) -> bool:
    return word in ALL.titles or (word.isupper() and word.capitalize() in ENGLISH.titles)


def _abbreviation(word: str) -> str:
    """Return a word as in the tables: Goethestr is str, l'art is art."""
    lower = _ELISION.sub('', word.lower())
    return 'str' if lower.endswith('str') else lower


def _begins_small(word: str) -> bool:
    """Return whether a word starts in lower case; iPhone does not count, because it may start a sentence."""
    first = next((character for character in word if character.isalnum()), ' ')
    return first.islower() and not any(character.isupper() for character in word)
