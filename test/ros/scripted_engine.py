# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""An engine that says what a test wants to hear, as fast as it wants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import monotonic, sleep
from typing import Any

import numpy as np

from tinychat_core.engine import Canceled, CancelFlag
from tinychat_core.generation import Generation

END = 256  # ends a turn; ids below are the bytes of a prompt
ROLES = {'system': 257, 'user': 258, 'assistant': 259}
FIRST_WORD = 300
VOCABULARY = 3000


class WordTokenizer:
    """A prompt is bytes, an answer words of the engine."""

    vocab_size = VOCABULARY
    stop_ids = frozenset({END})
    stop_texts: tuple[str, ...] = ()
    control_ids = frozenset({END, *ROLES.values()})

    def __init__(self, engine: ScriptedEngine) -> None:
        """Take the words of an engine."""
        self._engine = engine

    def encode(self, text: str, add_bos: bool = True) -> list[int]:
        """Return the bytes."""
        return list(text.encode())

    def encode_after_answer(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """Return the END of the last answer and what follows it."""
        self._engine.dialogues.append([dict(message) for message in messages])
        last = max(i for i, message in enumerate(messages) if message['role'] == 'assistant')
        return [END, *self._ids(messages[last + 1:])]

    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """Return role, bytes and END of each message, and the role of the answer."""
        self._engine.dialogues.append([dict(message) for message in messages])
        return self._ids(messages)

    def _ids(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        ids = []
        for message in messages:
            ids += [ROLES[message['role']], *self.encode(message['content']), END]
        return [*ids, ROLES['assistant']]

    def detokenizer(self, keep_leading_space: bool = False) -> WordTokenizer:
        """Return what turns ids to text."""
        return self

    def encode_within(self, text: str) -> list[int]:
        """Return the ids of words that are letters."""
        return [FIRST_WORD + self._engine.words.index(letter) for letter in text]

    def bytes_of(self, token: int) -> bytes:
        """Return a word."""
        word = token - FIRST_WORD
        return self._engine.words[word].encode() if 0 <= word < len(self._engine.words) else b''

    def push(self, token: int) -> str:
        """Return a word."""
        return self._engine.words[token - FIRST_WORD]

    def finish(self) -> str:
        """Hold nothing back."""
        return ''


class WordCache:
    """A cache that knows its tokens."""

    def __init__(self) -> None:
        """Begin empty."""
        self.tokens: list[int] = []

    @property
    def length(self) -> int:
        """Return how many there are."""
        return len(self.tokens)

    def truncate(self, length: int) -> None:
        """Keep the first ones."""
        del self.tokens[length:]


class ScriptedEngine:
    """
    Answers with `words`, a token each, and then END.

    A prefill takes `prefill_delay` seconds, each other token `delay`. The step number `fails_at` of an answer
    raises, `stands_at` lasts until that is another number or the goal is canceled. `dialogues` and `prefilled`
    note what was asked.
    """

    def __init__(self, context_length: int = 128) -> None:
        """Begin with a short answer and no delay."""
        self.words = ['Robots ', 'need ', 'maps.']
        self.delay = self.prefill_delay = 0.0
        self.fails_at: int | None = None
        self.stands_at: int | None = None
        self.dialogues: list[list[dict[str, str]]] = []
        self.prefilled: list[list[int]] = []
        self.is_closed = False
        self.context_length, self.vocab_size, self.threads = context_length, VOCABULARY, 2
        self.path, self.family, self.precision, self.backend = 'scripted', 'llama', 'W4A8', 'cpu'
        self.group_size, self.weights_bytes, self.kv_cache_bytes = 32, 300_000_000, 2000
        self.tokenizer: Any = WordTokenizer(self)
        self._step = 0
        self._sampler: Any = None

    def new_cache(self) -> Any:
        """Return an empty cache."""
        return WordCache()

    def check_files(self) -> str:
        """Tell that there are none to worry about."""
        return ''

    def close(self) -> None:
        """Note it."""
        self.is_closed = True

    def generate(self, messages: Any, params: Any, cache: Any = None,
                 cancel: CancelFlag | None = None) -> Generation:
        """Return the answer to a dialogue."""
        return Generation(self, self.tokenizer.encode_chat(messages), params, cache, cancel)  # type: ignore[arg-type]

    def prefill(self, cache: Any, tokens: Sequence[int], cancel: CancelFlag | None = None) -> Any:
        """Begin with the words."""
        self.prefilled.append([*tokens])
        self._step = 0
        return self._forward(cache, tokens, cancel, self.prefill_delay)

    def sample(self, cache: Any, tokens: Sequence[int], sampler: Any, allowed: Any = None,
               cancel: CancelFlag | None = None) -> int:
        """Begin with the words where the sampler is a new one, else go on."""
        if sampler is self._sampler:
            return int(sampler.sample(self._forward(cache, tokens, cancel, self.delay), allowed))
        self._sampler = sampler
        return int(sampler.sample(self.prefill(cache, tokens, cancel), allowed))

    def _forward(self, cache: Any, tokens: Sequence[int], cancel: CancelFlag | None, delay: float) -> Any:
        end = monotonic() + delay
        while cancel is None or not cancel.is_set():
            if monotonic() >= end and self._step != self.stands_at:
                break
            sleep(0.0005)
        else:
            raise Canceled('canceled')
        if self._step == self.fails_at:
            raise RuntimeError('the decoder broke')
        cache.tokens += tokens
        logits = np.zeros(VOCABULARY, np.float32)
        logits[FIRST_WORD + self._step if self._step < len(self.words) else END] = 100.0
        self._step += 1
        return logits
