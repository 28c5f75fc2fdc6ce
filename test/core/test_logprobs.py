# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Log probabilities of an answer, on a real model: those that `score` gives for the same tokens."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tinychat_core.engine import Engine
from tinychat_core.errors import InvalidParameterError
from tinychat_core.generation import TokenLogprob
from tinychat_core.sampling import SamplingParams

PROMPT = [{'role': 'user', 'content': 'Name a robot.'}]


@pytest.mark.parametrize('params', [
    {}, {'temperature': 1.5, 'top_k': 20, 'repetition_penalty': 1.3, 'seed': 1}, {'regex': '[a-z]{5} [0-9]{3}'}],
    ids=str)
def test_they_are_those_of_the_tokens_in_their_places(smollm2_checkpoint: Path, params: dict[str, object]) -> None:
    with_them = SamplingParams(max_new_tokens=12, top_logprobs=3, **params)  # type: ignore[arg-type]
    without = SamplingParams(max_new_tokens=12, **params)  # type: ignore[arg-type]
    engine = Engine.open(smollm2_checkpoint, 'W4A8', max_seq_len=256)  # decodes what it prefills, bit for bit
    try:
        tokens = [*engine.generate(PROMPT, with_them)]
        ids = [token.id for token in tokens]
        assert ids == [token.id for token in engine.generate(PROMPT, without)]  # they change nothing
        prompt = engine.tokenizer.encode_chat(PROMPT)
        logits = engine.score([*prompt, *ids])[len(prompt) - 1:-1].astype(np.float64)
        expected = logits - np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1, keepdims=True)) - logits.max(
            1, keepdims=True)
        for token, row in zip(tokens, expected, strict=True):
            told = token.logprob
            assert told is not None and told.token == token.id
            assert told.logprob == pytest.approx(row[token.id], abs=1e-5)
            assert [other.token for other in told.top] == np.argsort(-row, kind='stable')[:3].tolist()
            assert [other.logprob for other in told.top] == pytest.approx(np.sort(row)[::-1][:3], abs=1e-5)
            assert told.piece == engine.tokenizer.bytes_of(token.id)
    finally:
        engine.close()


def test_nobody_pays_for_what_is_not_wanted(smollm2_checkpoint: Path) -> None:
    engine = Engine.open(smollm2_checkpoint, max_seq_len=256)
    try:
        assert [token.logprob for token in engine.generate(PROMPT, SamplingParams(max_new_tokens=3))] == [None] * 3
        (token,) = engine.generate(PROMPT, SamplingParams(max_new_tokens=1, top_logprobs=0))
        assert isinstance(token.logprob, TokenLogprob) and token.logprob.top == ()
    finally:
        engine.close()


@pytest.mark.parametrize('value', [-1, 21, 2.0, True, '3'])
def test_their_number_has_a_range(value: object) -> None:
    with pytest.raises(InvalidParameterError, match='top_logprobs'):
        SamplingParams(top_logprobs=value)  # type: ignore[arg-type]
