# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Checks whether a text can fit into the context, before the whole text is tokenized."""
from __future__ import annotations

from collections.abc import Iterable

from tinychat_core._tinychat import Canceled, CancelFlag
from tinychat_core.errors import PromptTooLongError
from tinychat_core.generation import Decoder

PIECE = 2**14  # characters that are tokenized at once: some milliseconds
# A cut within a word can add some tokens.
TOKENS_A_CUT = 64


def check_size(texts: Iterable[str], engine: Decoder, cancel: CancelFlag | None = None) -> None:
    """
    Raise PromptTooLongError for texts that have more tokens than the context, Canceled once `cancel` is set.

    The texts are tokenized piece by piece, until the context is full. So megabytes of text cost no more time or memory
    than the longest prompt that fits. Texts near the limit pass this check; their exact tokens are counted later.
    """
    context = engine.context_length
    tokens = -TOKENS_A_CUT
    for text in texts:
        # No token is shorter than a byte, and no character longer than four.
        if 4 * len(text) <= context:
            continue
        for begin in range(0, len(text), PIECE):
            if cancel is not None and cancel.is_set():
                raise Canceled('canceled')
            tokens += len(engine.tokenizer.encode(text[begin:begin + PIECE], add_bos=False)) - TOKENS_A_CUT
            if tokens > context:
                raise PromptTooLongError(f'the prompt of {len(text)} characters has more tokens than the context of '
                                         f'{context}; shorten it')
