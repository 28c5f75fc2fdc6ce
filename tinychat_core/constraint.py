# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Answers that match a JSON schema or a regular expression, token by token, through llguidance.

llguidance (https://github.com/guidance-ai/llguidance) is optional. It tells before each token which ones could still
lead to a match; the sampler draws among those. It works in a process of its own, because some schemas and expressions
of a single line take it hours or gigabytes, and it cannot be interrupted.
"""
from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from itertools import count
from threading import Thread
from typing import Any, Protocol
from weakref import finalize, WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from tinychat_core.errors import InvalidParameterError
from tinychat_core.json_schema.rewriting import rewrite
from tinychat_core.workers.worker import Flag, Worker, WorkerFailedError

# What is longer takes tens of milliseconds to check.
MAX_CHARACTERS = 20_000
# CPU time to compile a schema, and for each token. The largest schemas that are allowed take 0.03 s on a PC.
SECONDS = 0.5
MEMORY = 256 << 20
# CPU time for the first look at a goal, which others wait for; what takes longer is looked at when the goal runs.
_CHECK_SECONDS = 0.03
# To read a vocabulary, once.
_VOCABULARY_SECONDS = 60.0
_VOCABULARY_MEMORY = 1 << 30

# Before, a property's name could be spelt in a second way, past what the schema says of it.
_NEEDED = [1, 8]

_CHECKER = Worker('tinychat_core.workers.grammar', MEMORY)
_MATCHER = Worker('tinychat_core.workers.grammar', MEMORY)
_SESSIONS = count()
_ENDED: deque[int] = deque()  # sessions whose OutputConstraint is gone


class Vocabulary(Protocol):
    """What a structure needs of a Tokenizer."""

    vocab_size: int
    stop_ids: frozenset[int]
    control_ids: frozenset[int]

    def bytes_of(self, token: int) -> bytes:
        """Return what a token stands for; nothing for a control token."""

    def encode_within(self, text: str) -> list[int]:
        """Return the ids of a text that goes on after another one."""


class OutputConstraint:
    """
    The structure that one answer must match, and its current state.

    `is_accepting`: whether it may end after the tokens that were accepted. `guess`: tokens that may come next, because
    the structure forces them (`is_forced`), or because they were guessed and the structure allows them.
    """

    def __init__(self, json_schema: str, regex: str, vocabulary: Vocabulary, vocab_size: int,
                 cancel: Flag | None = None, grammar: str = '') -> None:
        """
        Begin an answer; at most one of `json_schema` and `regex` is not empty.

        `grammar`: of llguidance's Lark, where the answer has more parts; it stands for the other two as well.
        `vocab_size`: logits a token. Raises InvalidParameterError like `check`, and where compiling takes more than
        SECONDS or MEMORY; WorkerCanceledError once `cancel` is set, here and below.
        """
        self._name = 'json_schema' if json_schema else 'regex' if regex else 'grammar of the tools'
        self._pattern = {'lark': grammar} if grammar else _pattern(json_schema, regex)
        self._vocabulary = vocabulary
        self._cancel = cancel
        self._session = next(_SESSIONS)
        finalize(self, _ENDED.append, self._session)
        self._tokens: list[int] = []
        self.guess: list[int] = []
        self.is_forced = False
        # A model may have more logits than there are tokens: the rest is never allowed.
        self._words = (max(vocab_size, vocabulary.vocab_size) + 31) // 32
        self._masks = np.zeros((1, self._words), np.uint32)
        self._is_stopped = False
        self.is_accepting = False
        self._begin(cancel)

    def token_mask(self, guesses: int = 0) -> npt.NDArray[np.uint32]:
        """Return the allowed next tokens as a bit mask [ceil(vocab/32)]; with guesses [guesses + 1, …]."""
        return self._masks[:guesses + 1] if guesses else self._masks[0]

    def accept(self, *tokens: int, guess: Sequence[int] = (), most: int = 0) -> bool:
        """
        Record tokens that were allowed. Return whether the answer is complete, so that nothing can follow.

        `guess`: tokens that may come next, for `self.guess`, which has at most `most` tokens. Raises
        InvalidParameterError for a structure that turns out to be too complex, like a{1000}{1000}.
        """
        self._tokens += tokens
        request = {'do': 'accept', 'session': self._session, 'tokens': tokens, 'guess': [*guess], 'most': most}
        reply, masks = self._ask(request, self._cancel)
        if 'unknown' in reply:  # the process is another one
            self._begin(self._cancel)
        else:
            self._take(reply, masks)
        return self._is_stopped

    def matches(self, text: str) -> bool:
        """Return whether a whole text matches; afterwards no token can be accepted any more."""
        self._tokens = []
        request = {'do': 'matches', 'session': self._session, 'text': text}
        # A cancel is too late now: the answer has ended.
        reply, _ = self._ask(request, None)
        while 'unknown' in reply:
            self._begin(None)
            reply, _ = self._ask(request, None)
        return bool(reply['matches'])

    def _begin(self, cancel: Flag | None) -> None:
        request = {'do': 'begin', 'session': self._session, 'vocabulary': _name(self._vocabulary),
                   'tokens': self._tokens, 'guess': [], 'most': 0, **self._pattern}
        reply, mask = self._ask(request, cancel)
        while 'unknown' in reply:  # once; again if another answer's structure has ended the process meanwhile
            description = _description(self._vocabulary)
            _MATCHER.ask(description, _VOCABULARY_SECONDS, cancel, _VOCABULARY_MEMORY, self._encode)
            reply, mask = self._ask(request, cancel)
        self._take(reply, mask)

    def _ask(self, request: Mapping[str, Any], cancel: Flag | None) -> tuple[Any, bytes]:
        ended = []
        with suppress(IndexError):
            while True:
                ended.append(_ENDED.popleft())
        try:
            return _MATCHER.ask({**request, 'ended': ended}, SECONDS, cancel, answer=self._encode)
        except WorkerFailedError as error:
            raise InvalidParameterError(f'the {self._name} is too complex: following it {error}') from None

    def _encode(self, question: Mapping[str, str]) -> list[int]:
        return self._vocabulary.encode_within(question['encode'])

    def _take(self, reply: Mapping[str, Any], masks: bytes) -> None:
        if reply['error']:
            raise InvalidParameterError(f'the structure is refused: {_line(reply["error"])}')
        self._is_stopped, self.is_accepting = reply['stopped'], reply['accepting']
        self.guess, self.is_forced = reply['guess'], reply['forced']
        if masks:
            rows = np.frombuffer(masks, '<u4').reshape(len(self.guess) + 1, -1)
            rows = rows[:, :self._words]  # it may have one word more than the vocabulary
            self._masks = np.zeros((len(rows), self._words), np.uint32)
            self._masks[:, :rows.shape[1]] = rows


def check(json_schema: str, regex: str) -> None:
    """
    Raise InvalidParameterError, with the reason, if answers cannot be constrained to match; '' means no structure.

    Errors that take long to find are only found by OutputConstraint.
    """
    if not json_schema and not regex:
        return
    if json_schema and regex:
        raise InvalidParameterError('give json_schema or regex, not both')
    name, text = ('json_schema', json_schema) if json_schema else ('regex', regex)
    if not isinstance(text, str):
        raise InvalidParameterError(f'{name} must be a string, not a {type(text).__name__}')
    if len(text) > MAX_CHARACTERS:
        raise InvalidParameterError(f'{name} has {len(text)} characters; the limit is {MAX_CHARACTERS}')
    if find_spec('llguidance') is None:
        raise InvalidParameterError(f'{name} needs llguidance: pip install llguidance')
    installed = version('llguidance')
    if [int(part) for part in installed.split('.')[:2] if part.isdecimal()] < _NEEDED:
        raise InvalidParameterError(f'{name} needs a newer llguidance than {installed}: pip install -U llguidance')
    error = _error_of(name, _pattern(json_schema, regex)[name])
    if error:
        raise InvalidParameterError(f'{name} is refused: {_line(error)}')


def start_checker() -> None:
    """Start the process of `check` (13 MB) in a thread, so that the first structured answer does not wait for it."""
    def start() -> None:
        with suppress(WorkerFailedError):  # `check` starts it again, and says why it fails
            _CHECKER.start()

    if find_spec('llguidance') is not None:
        Thread(target=start, name='checker', daemon=True).start()


@lru_cache(maxsize=64)
def _error_of(name: str, text: str) -> str:
    try:
        return str(_CHECKER.ask({'do': 'check', name: text}, _CHECK_SECONDS, wait=_CHECK_SECONDS)[0]['error'])
    except WorkerFailedError:
        start_checker()  # the next one shall not wait for it
        return ''


def _pattern(json_schema: str, regex: str) -> dict[str, str]:
    """Return what has to be matched, as the worker takes it."""
    return {'json_schema': _rewritten(json_schema)} if json_schema else {'regex': regex}


_rewritten = lru_cache(maxsize=64)(rewrite)


_NAMES: WeakKeyDictionary[Vocabulary, str] = WeakKeyDictionary()
_VOCABULARIES = count()


def _name(vocabulary: Vocabulary) -> str:
    name = _NAMES.get(vocabulary)
    if name is None:
        name = _NAMES[vocabulary] = f'v{next(_VOCABULARIES)}'
        finalize(vocabulary, _MATCHER.stop_if_idle)  # and what it keeps of the vocabulary with it
    return name


def _description(vocabulary: Vocabulary) -> dict[str, Any]:
    """Return llguidance's view of a vocabulary, with the bytes that our detokenizer gives a token."""
    ends = sorted(vocabulary.stop_ids)
    if not ends:
        raise InvalidParameterError('structured answers need a token that ends the answer, and this model has none')
    # A control token has no text, but must not be empty there: what its bytes are does not matter.
    tokens = [vocabulary.bytes_of(id_) or (b'<%d>' % id_ if id_ in vocabulary.control_ids else b'')
              for id_ in range(vocabulary.vocab_size)]
    return {'do': 'vocabulary', 'name': _name(vocabulary), 'ends': ends, 'special': sorted(vocabulary.control_ids),
            'tokens': [token.decode('latin-1') for token in tokens]}


def _line(error: str) -> str:
    """Return the line of an error message that says what is wrong, no longer than a line should be."""
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    line = next((line for line in lines if line.startswith('error: ')), lines[0]).removeprefix('error: ')
    if line.startswith('NoExtension'):
        return 'nothing can match it'
    return line if len(line) <= 200 else f'{line[:197]}...'
