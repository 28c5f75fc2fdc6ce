# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Answers that a schema lets through: any text in a byte's tokens, and random ones."""
from __future__ import annotations

import json
from random import Random
from typing import Any

import numpy as np

from tinychat_core.constraint import check, OutputConstraint

EOS = 256


class Bytes:
    """A vocabulary of bytes."""

    vocab_size = EOS + 1
    stop_ids = control_ids = frozenset({EOS})

    def bytes_of(self, token: int) -> bytes:
        return b'' if token == EOS else bytes([token])

    def encode_within(self, text: str) -> list[int]:
        return [*text.encode()]


VOCABULARY = Bytes()


def structure(schema: Any) -> OutputConstraint:
    """Begin an answer as a goal does, with all its checks."""
    text = schema if isinstance(schema, str) else json.dumps(schema)
    check(text, '')
    return OutputConstraint(text, '', VOCABULARY, VOCABULARY.vocab_size)


def random_answer(schema: Any, seed: int, longest: int = 600) -> str | None:
    """Draw each byte among those that may come, those that end something more often; None for one that has no end."""
    random = Random(seed)
    answer = structure(schema)
    text = bytearray()
    while len(text) < longest:
        allowed = [int(i) for i in np.flatnonzero(np.unpackbits(answer.token_mask().view(np.uint8), bitorder='little'))]
        assert allowed, f'nothing may follow {bytes(text)!r}'
        ends = [token for token in allowed if token in (*b'"]}', EOS)]
        token = random.choice(ends if ends and random.random() < 0.15 + len(text) / longest else allowed)
        if token == EOS:
            return text.decode()
        text.append(token)
        if answer.accept(token):
            return text.decode()
    return None
