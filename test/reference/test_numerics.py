# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The numerics contract: the engine against transformers in float32 on the same weights."""
from __future__ import annotations

from collections.abc import Iterator
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reference.llama import Llama
from tinychat_core.engine import Engine
from tinychat_core.sampling import SamplingParams

BOUND = 1e-3  # Of the reference's largest logit, at W4A16.
MARGIN = 2e-2  # Likewise, at W4A8: where the best token leads by more, it is the same one.
DEFAULT_MARGIN = 1e-2  # Likewise, at the default.
NEW_TOKENS = 64
PROMPTS = {
    'question': [{'role': 'user', 'content': 'What is the capital of France?'}],
    'system': [{'role': 'system', 'content': 'You are a robot in a kitchen. Answer in one sentence.'},
               {'role': 'user', 'content': 'Where do you put the cups?'}],
    'code': [{'role': 'user', 'content': 'Write a Python function that reverses a list.\n\n```python\n'}],
    'turns': [{'role': 'user', 'content': 'Hi!'}, {'role': 'assistant', 'content': 'Hello! How can I help?'},
              {'role': 'user', 'content': 'Name three colours.'}],
    'unicode': [{'role': 'user', 'content': 'Translate: 你好，世界 🤖 — 1234 café'}],
    'story': 'Once upon a time, in a small village by the sea, there lived',
}


@pytest.fixture(scope='module')
def reference(smollm2_checkpoint: Path) -> Llama:
    return Llama(smollm2_checkpoint)


@pytest.fixture(scope='module')
def engine(smollm2_checkpoint: Path) -> Iterator[Engine]:
    engine = Engine.open(smollm2_checkpoint, precision='W4A16', max_seq_len=1024)
    yield engine
    engine.close()


@pytest.fixture(scope='module')
def default_engine(smollm2_checkpoint: Path) -> Iterator[Engine]:
    engine = Engine.open(smollm2_checkpoint, max_seq_len=1024)
    yield engine
    engine.close()


@pytest.fixture(scope='module')
def byte_engine(smollm2_checkpoint: Path) -> Iterator[Engine]:
    engine = Engine.open(smollm2_checkpoint, precision='W4A8', max_seq_len=1024)
    yield engine
    engine.close()


@pytest.fixture(scope='module')
def long_text(engine: Engine) -> list[int]:
    tokens = engine.tokenizer.encode(Path(__file__).read_text(encoding='utf-8'))[:600]
    assert len(tokens) == 600
    return tokens


@pytest.fixture(scope='module')
def expected_of_long_text(reference: Llama, long_text: list[int]) -> Any:
    return reference.score(long_text)


def tokens_of(engine: Engine, name: str) -> list[int]:
    prompt: Any = PROMPTS[name]
    tokenizer = engine.tokenizer
    return tokenizer.encode(prompt) if isinstance(prompt, str) else tokenizer.encode_chat(prompt)


def assert_close(logits: Any, expected: Any) -> None:
    error = float(np.abs(logits - expected).max() / np.abs(expected).max())
    assert error <= BOUND


@pytest.mark.parametrize('name', PROMPTS)
def test_prefill_equals_the_reference(engine: Engine, reference: Llama, name: str) -> None:
    tokens = tokens_of(engine, name)
    assert_close(engine.prefill(engine.new_cache(), tokens), reference.score(tokens)[-1])


def test_a_long_prefill_equals_the_reference(engine: Engine, long_text: list[int],
                                             expected_of_long_text: Any) -> None:
    assert_close(engine.prefill(engine.new_cache(), long_text), expected_of_long_text[-1])


def test_the_score_of_every_token_equals_the_reference(engine: Engine, reference: Llama) -> None:
    tokens = tokens_of(engine, 'turns')
    assert_close(engine.score(tokens), reference.score(tokens))


@pytest.mark.parametrize('name', PROMPTS)
def test_decoding_one_by_one_equals_the_prefill(engine: Engine, name: str) -> None:
    tokens = tokens_of(engine, name)
    cache = engine.new_cache()
    logits = [engine.decode(cache, token) for token in tokens][-1]
    assert_close(logits, engine.prefill(engine.new_cache(), tokens))


def test_decoding_on_a_truncated_cache_equals_the_prefill(engine: Engine) -> None:
    tokens = tokens_of(engine, 'turns')
    cache = engine.new_cache()
    engine.prefill(cache, tokens)
    cache.truncate(len(tokens) // 2)
    assert_close(engine.prefill(cache, tokens[len(tokens) // 2:]), engine.prefill(engine.new_cache(), tokens))


@pytest.mark.parametrize('name', PROMPTS)
def test_the_greedy_tokens_are_those_of_the_reference(engine: Engine, reference: Llama, name: str) -> None:
    tokens = tokens_of(engine, name)
    cache = engine.new_cache()
    answer = [int(engine.prefill(cache, tokens).argmax())]
    while len(answer) < NEW_TOKENS:
        answer.append(int(engine.decode(cache, answer[-1]).argmax()))
    # The reference, given the same beginning, goes on in the same way: at every step, so from the first one.
    assert answer == reference.score(tokens + answer[:-1])[len(tokens) - 1:].argmax(axis=1).tolist()


def test_a_generation_is_the_greedy_tokens_up_to_its_end(engine: Engine, reference: Llama) -> None:
    tokens = tokens_of(engine, 'question')
    generation = engine.generate(tokens, SamplingParams(max_new_tokens=NEW_TOKENS))
    text = ''.join(token.text for token in generation)
    ids = generation.ids
    assert ids == reference.score(tokens + ids[:-1])[len(tokens) - 1:].argmax(axis=1).tolist()
    assert len(ids) == NEW_TOKENS or ids[-1] in engine.tokenizer.stop_ids
    assert text == generation.text == engine.tokenizer.decode(ids)


def test_bytes_keep_the_best_token_wherever_it_leads(byte_engine: Engine, long_text: list[int],
                                                     expected_of_long_text: Any) -> None:
    expected = expected_of_long_text
    second, first = np.sort(expected, axis=1)[:, -2:].T
    leads = first - second > MARGIN * np.abs(expected).max(axis=1)
    assert leads.sum() > 100
    assert (byte_engine.score(long_text).argmax(axis=1) == expected.argmax(axis=1))[leads].all()


def log_softmax(logits: Any) -> Any:
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def perplexity(logits: Any, tokens: list[int]) -> float:
    return float(np.exp(-log_softmax(logits)[np.arange(len(tokens) - 1), tokens[1:]].mean()))


def kl_divergence(logits: Any, expected: Any) -> float:
    reference, found = log_softmax(expected), log_softmax(logits)
    return float((np.exp(reference) * (reference - found)).sum(axis=1).mean())


def test_bytes_keep_the_perplexity(byte_engine: Engine, long_text: list[int],
                                   expected_of_long_text: Any) -> None:
    assert perplexity(byte_engine.score(long_text), long_text) <= 1.01 * perplexity(expected_of_long_text, long_text)


@pytest.mark.parametrize('prefilled', [0, 300, 600])
def test_the_default_leaves_the_model_as_it_is(default_engine: Engine, long_text: list[int],
                                               expected_of_long_text: Any, prefilled: int) -> None:
    """However much of the cache a prefill has written, and one token at a time the rest."""
    cache = default_engine.new_cache()
    if prefilled == len(long_text):
        found, expected = default_engine.score(long_text), expected_of_long_text
        # So few tokens tell it to a few parts in a thousand; docs/cpu.md has it over thousands.
        assert abs(perplexity(found, long_text) / perplexity(expected, long_text) - 1) <= 5e-3
    else:
        if prefilled:
            default_engine.prefill(cache, long_text[:prefilled])
        last = prefilled + 150
        found = np.stack([default_engine.decode(cache, token) for token in long_text[prefilled:last]])
        expected = expected_of_long_text[prefilled:last]
    assert kl_divergence(found, expected) <= 3e-4
    second, best = np.sort(expected, axis=1)[:, -2:].T
    leads = best - second > DEFAULT_MARGIN * np.abs(expected).max(axis=1)
    assert leads.sum() > 100
    assert (found.argmax(axis=1) == expected.argmax(axis=1))[leads].all()


@pytest.mark.parametrize('prompt', json.loads((Path(__file__).parent / 'everyday_questions.json').read_text()))
def test_the_default_answers_as_floats_do(default_engine: Engine, engine: Engine, prompt: str) -> None:
    """The greedy answer, up to where floats have two tokens that are nearly as likely."""
    tokens = engine.tokenizer.encode_chat([{'role': 'user', 'content': prompt}])
    exact, ours = engine.new_cache(), default_engine.new_cache()
    expected, found = engine.prefill(exact, tokens), default_engine.prefill(ours, tokens)
    for _ in range(12):
        second, best = np.sort(expected)[-2:]
        if best - second <= DEFAULT_MARGIN * np.abs(expected).max():
            break
        token = int(expected.argmax())
        assert int(found.argmax()) == token
        if token in engine.tokenizer.stop_ids:
            break
        expected, found = engine.decode(exact, token), default_engine.decode(ours, token)


def test_the_capital_of_france(default_engine: Engine) -> None:
    messages = [{'role': 'user', 'content': 'What is the capital of France?'}]
    generation = default_engine.generate(messages, SamplingParams(max_new_tokens=16))
    assert 'Paris' in ''.join(token.text for token in generation)
