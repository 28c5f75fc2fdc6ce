# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A text that cannot fit is refused after no more work than the longest prompt that fits."""
from __future__ import annotations

from typing import Any

import pytest
from scripted_engine import ScriptedEngine

from tinychat_core._tinychat import Canceled, CancelFlag
from tinychat_core.errors import PromptTooLongError
from tinychat_core.serving.prompt_size import check_size, PIECE


@pytest.fixture
def engine() -> Any:
    return Counting([], context_length=2 * PIECE)


class Counting(ScriptedEngine):
    """Counts the characters that are tokenized."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.characters = 0
        encode = self.tokenizer.encode

        def counted(text: str, add_bos: bool = True) -> list[int]:
            self.characters += len(text)
            return list(encode(text))

        self.tokenizer.encode = counted


def test_of_a_text_that_is_far_too_long_only_the_beginning_is_tokenized(engine: Any) -> None:
    with pytest.raises(PromptTooLongError, match='of 1000000 characters has more tokens than the context of 32768'):
        check_size(['x' * 10**6], engine)
    assert engine.characters <= 3 * PIECE


def test_texts_count_together(engine: Any) -> None:
    check_size(['x' * PIECE], engine)
    with pytest.raises(PromptTooLongError):
        check_size(['x' * PIECE] * 4, engine)


def test_short_texts_cost_nothing(engine: Any) -> None:
    check_size(['x' * (PIECE // 2)] * 10, engine)
    assert engine.characters == 0


def test_it_ends_once_it_is_canceled(engine: Any) -> None:
    cancel = CancelFlag()
    cancel.set()
    with pytest.raises(Canceled):
        check_size(['x' * 10**6], engine, cancel)
    assert engine.characters == 0
