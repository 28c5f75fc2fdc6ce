# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The tokens over which DRY finds no repetition, of a tokenizer; the sampler does the rest."""
from __future__ import annotations

from typing import Protocol
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

# llama.cpp's and text-generation-webui's default: lines, list marks and who speaks repeat in good answers, too.
SEQUENCE_BREAKERS = (b'\n', b':', b'"', b'*')


class Vocabulary(Protocol):
    """What is needed of a Tokenizer."""

    vocab_size: int
    control_ids: frozenset[int]

    def bytes_of(self, token: int) -> bytes:
        """Return what a token stands for; nothing for a control token."""


_BREAKERS: WeakKeyDictionary[Vocabulary, npt.NDArray[np.uint32]] = WeakKeyDictionary()


def breakers(vocabulary: Vocabulary) -> npt.NDArray[np.uint32]:
    """Return a bit mask [ceil(vocab/32)]: control tokens, and those that have one of SEQUENCE_BREAKERS in them."""
    mask = _BREAKERS.get(vocabulary)
    if mask is None:
        bits = np.zeros((vocabulary.vocab_size + 31) // 32 * 32, bool)
        for token in range(vocabulary.vocab_size):
            text = vocabulary.bytes_of(token)
            bits[token] = token in vocabulary.control_ids or any(breaker in text for breaker in SEQUENCE_BREAKERS)
        mask = _BREAKERS[vocabulary] = np.packbits(bits, bitorder='little').view(np.uint32)
    return mask
