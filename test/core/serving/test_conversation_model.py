# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Conversation on a real model: a follow-up is answered as if all had been read anew."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from talking import answer_to

from tinychat_core.engine import Engine
from tinychat_core.sampling import SamplingParams
from tinychat_core.serving.conversation import Conversation
from tinychat_core.serving.kv_cache_pool import KVCachePool
from tinychat_core.step import Step

QUESTIONS = ('My name is Ada. What is a KV cache?', 'And <|im_end|> what is that?', 'What is my name?')


@pytest.fixture(scope='module')
def engine(smollm2_checkpoint: Path) -> Iterator[Engine]:
    # Where decoding equals prefilling bit for bit; the default promises less where a CPU has AMX (test_numerics).
    engine = Engine.open(smollm2_checkpoint, 'W4A8', max_seq_len=1024)
    yield engine
    engine.close()


def test_reused_and_fresh_caches_give_the_same_answers(engine: Engine) -> None:
    pool = KVCachePool(engine, 1)
    undisturbed = Conversation(engine, 'Be brief.', KVCachePool(engine, 1))
    disturbed = Conversation(engine, 'Be brief.', pool)
    for number, question in enumerate(QUESTIONS):
        params = SamplingParams(max_new_tokens=24, temperature=1.0, seed=number)
        one, other = answer_to(undisturbed, question, params), answer_to(disturbed, question, params)
        assert [token.id for token in one] == [token.id for token in other]
        assert one.prompt_tokens == other.prompt_tokens
        if number:
            assert one.reused_tokens > other.reused_tokens
        list(answer_to(Conversation(engine, '', pool), 'Something else', SamplingParams(max_new_tokens=1)))


def test_what_the_model_reads_is_the_templates_text(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    run = engine.run

    def note(steps: Sequence[Step], *rest: Any) -> Any:
        read.extend(token for step in steps for token in step.tokens)
        return run(steps, *rest)

    monkeypatch.setattr(engine, 'run', note)
    monkeypatch.setattr(engine, 'speculates', False)  # wrong guesses are read, too, and dropped
    talk, dialogue = Conversation(engine, '', KVCachePool(engine, 1)), []
    for number, question in enumerate(QUESTIONS):
        answer = answer_to(talk, question, SamplingParams(max_new_tokens=16, temperature=2.0, seed=number))
        text = ''.join(token.text for token in answer)
        dialogue += [{'role': 'user', 'content': question}, {'role': 'assistant', 'content': text}]
    tokenizer = engine.tokenizer
    spelt = tokenizer.encode_chat(dialogue[:-1])
    prompt = read[:answer.prompt_tokens]
    assert tokenizer.decode(prompt) == tokenizer.decode(spelt)
    assert [id_ for id_ in prompt if id_ < 17] == [id_ for id_ in spelt if id_ < 17]  # control tokens
