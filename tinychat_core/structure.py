# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Answers that match a JSON schema or a regular expression, token by token, through llguidance.

llguidance (https://github.com/guidance-ai/llguidance) is optional, and imported where it is used. It tells before each
token which ones could still lead to a match; the sampler draws among those.
"""
from __future__ import annotations

from typing import Any, Protocol
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from tinychat_core.errors import InvalidParameterError

# What is longer takes tens of milliseconds to check.
MAX_CHARACTERS = 20_000
# JSON on one line, as Python writes it: free white space is where small models lose themselves.
_JSON: Any = {'whitespace_flexible': False, 'item_separator': ', ', 'key_separator': ': '}


class Vocabulary(Protocol):
    """What a structure needs of a Tokenizer."""

    vocab_size: int
    stop_ids: frozenset[int]
    control_ids: frozenset[int]

    def bytes_of(self, token: int) -> bytes:
        """Return what a token stands for; nothing for a control token."""

    def encode_within(self, text: str) -> list[int]:
        """Return the ids of a text that goes on after another one."""


class Structure:
    """What one answer has to match, and how far it has come."""

    def __init__(self, json_schema: str, regex: str, vocabulary: Vocabulary, vocab_size: int) -> None:
        """
        Begin an answer; exactly one of `json_schema` and `regex` is not empty.

        `vocab_size`: logits a token. Raises InvalidParameterError like `check`.
        """
        import llguidance

        tokenizer = _TOKENIZERS.get(vocabulary)
        if tokenizer is None:
            tokenizer = _TOKENIZERS[vocabulary] = _tokenizer(vocabulary)
        self._tokenizer = tokenizer
        self._matcher = llguidance.LLMatcher(tokenizer, _grammar(json_schema, regex), log_level=0)
        # A model may have more logits than there are tokens: the rest is never allowed.
        self._mask = np.zeros((max(vocab_size, vocabulary.vocab_size) + 31) // 32, np.uint32)
        self._known_bytes = (vocabulary.vocab_size + 31) // 32 * self._mask.itemsize
        self._check()

    def allowed(self) -> npt.NDArray[np.uint32]:
        """
        Return the tokens that may come next, as a bit mask [ceil(vocab/32)] that the next call overwrites.

        Raises InvalidParameterError for a structure that turns out to be too complex, like a{1000}{1000}.
        """
        self._matcher.unsafe_compute_mask_ptr(self._mask.ctypes.data, self._known_bytes)
        self._check()
        return self._mask

    def accept(self, token: int) -> bool:
        """Take note of a token that was allowed; return whether the answer is complete, and nothing can follow."""
        self._matcher.consume_token(token)
        self._check()
        return bool(self._matcher.is_stopped())

    def matches(self, text: str) -> bool:
        """Return whether a whole text matches; afterwards no token can be accepted any more."""
        self._matcher.reset()
        tokens = self._tokenizer.greedy_tokenize(text)
        return self._matcher.try_consume_tokens(tokens) == len(tokens) and bool(self._matcher.is_accepting())

    def _check(self) -> None:
        if self._matcher.is_error():
            raise InvalidParameterError(f'the structure is refused: {_line(self._matcher.get_error())}')


def check(json_schema: str, regex: str) -> None:
    """Raise InvalidParameterError, saying why, where no answer can be made to match; '' is nothing to match."""
    if not json_schema and not regex:
        return
    if json_schema and regex:
        raise InvalidParameterError('give json_schema or regex, not both')
    name, text = ('json_schema', json_schema) if json_schema else ('regex', regex)
    if len(text) > MAX_CHARACTERS:
        raise InvalidParameterError(f'{name} has {len(text)} characters, and may have {MAX_CHARACTERS}')
    try:
        import llguidance
    except ImportError:
        raise InvalidParameterError(f'{name} needs llguidance: pip install llguidance') from None
    try:
        error = llguidance.LLMatcher.validate_grammar(_grammar(json_schema, regex))
    except ValueError as no_json:
        error = str(no_json)
    if error:
        raise InvalidParameterError(f'{name} is refused: {_line(error)}')


def _grammar(json_schema: str, regex: str) -> str:
    from llguidance import LLMatcher

    grammar: str = (LLMatcher.grammar_from_json_schema(json_schema, defaults=_JSON) if json_schema else
                    LLMatcher.grammar_from_regex(regex))
    return grammar


_TOKENIZERS: WeakKeyDictionary[Vocabulary, Any] = WeakKeyDictionary()


def _tokenizer(vocabulary: Vocabulary) -> Any:
    """Return llguidance's view of a vocabulary, with the bytes that our detokenizer gives a token."""
    from llguidance import LLTokenizer, TokenizerWrapper

    ends = sorted(vocabulary.stop_ids)
    if not ends:
        raise InvalidParameterError('this model has no token that ends an answer; a structured one needs it')

    class Wrapped:
        """As TokenizerWrapper wants it."""

        def __init__(self) -> None:
            self.eos_token_id = ends[0]
            self.bos_token_id = None
            self.special_token_ids = sorted(vocabulary.control_ids)
            # A control token has no text, but must not be empty here: what its bytes are does not matter.
            self.tokens = [vocabulary.bytes_of(id_) or (b'<%d>' % id_ if id_ in vocabulary.control_ids else b'')
                           for id_ in range(vocabulary.vocab_size)]

        def __call__(self, text: str | bytes) -> list[int]:
            return vocabulary.encode_within(text if isinstance(text, str) else text.decode())

    return LLTokenizer(TokenizerWrapper(Wrapped()), n_vocab=vocabulary.vocab_size, eos_token=ends)


def _line(error: str) -> str:
    """Return the line of an error message that says what is wrong."""
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    return next((line for line in lines if line.startswith('error: ')), lines[0]).removeprefix('error: ')
