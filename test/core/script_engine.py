# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""An engine that follows a script, to test what stands on an engine."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinychat_core._tinychat import Canceled, CancelFlag
from tinychat_core.text.detokenizer import Detokenizer, Pieces, PieceTable

# Ids are bytes; 256 ends a turn.
EOS = 256
VOCAB = 257
ROLES = {'system': 1, 'user': 2, 'assistant': 3}
DECODER = {'type': 'Sequence', 'decoders': [{'type': 'Replace', 'pattern': {'String': '▁'}, 'content': ' '},
                                            {'type': 'ByteFallback'}, {'type': 'Fuse'}]}


class ByteTokenizer:
    """One token for each byte; in a dialogue a turn is its role, its bytes and EOS."""

    vocab_size = VOCAB
    stop_ids = control_ids = frozenset({EOS})
    stop_texts: tuple[str, ...] = ()

    def detokenizer(self, keep_leading_space: bool = False) -> Detokenizer:
        return Detokenizer(Pieces(PieceTable.of(DECODER), lambda i: f'<0x{i:02X}>', {EOS}))

    def bytes_of(self, token: int) -> bytes:
        return b'' if token == EOS else bytes([token])

    def encode(self, text: str, add_bos: bool = True) -> list[int]:
        return [*text.encode()]

    def encode_after_answer(self, messages: Sequence[Mapping[str, str]]) -> list[int] | None:
        last = max(i for i, message in enumerate(messages) if message['role'] == 'assistant')
        return [EOS, *self.encode_chat(messages[last + 1:])]

    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        ids = []
        for message in messages:
            ids += [ROLES[message['role']], *message['content'].encode(), EOS]
        return [*ids, ROLES['assistant']]


class ScriptCache:
    """A cache that remembers the tokens."""

    def __init__(self) -> None:
        self.tokens: list[int] = []

    @property
    def length(self) -> int:
        return len(self.tokens)

    def truncate(self, length: int) -> None:
        assert length <= len(self.tokens)
        del self.tokens[length:]


class ScriptEngine:
    """
    Its likeliest tokens are those of the script, one a step, over all answers.

    `canceled_at`: the step that raises Canceled. `prefilled`: the tokens of each prefill, and those that a
    new sampler comes with.
    """

    tokenizer: Any
    vocab_size = VOCAB

    def __init__(self, script: Sequence[int], context_length: int = 1000,
                 canceled_at: int | None = None) -> None:
        self.script = [*script]
        self.context_length = context_length
        self.canceled_at = canceled_at
        self.tokenizer = ByteTokenizer()
        self.calls = 0
        self.prefilled: list[list[int]] = []
        self.sampler: Any = None

    def new_cache(self) -> Any:
        return ScriptCache()

    def close(self) -> None:
        pass

    def prefill(self, cache: Any, tokens: Sequence[int], cancel: CancelFlag | None = None) -> Any:
        self.prefilled.append([*tokens])
        return self._step(cache, tokens)

    def sample(self, cache: Any, tokens: Sequence[int], sampler: Any, allowed: Any = None,
               cancel: CancelFlag | None = None) -> int:
        if sampler is not self.sampler:
            self.sampler = sampler
            self.prefilled.append([*tokens])
        return int(sampler.sample(self._step(cache, tokens), allowed))

    def _step(self, cache: Any, tokens: Sequence[int]) -> Any:
        if self.calls == self.canceled_at:
            raise Canceled('canceled')
        cache.tokens += tokens
        assert len(cache.tokens) <= self.context_length
        logits = np.ones(self.vocab_size, np.float32)
        logits[self.script[self.calls]] = 9.0
        self.calls += 1
        return logits
