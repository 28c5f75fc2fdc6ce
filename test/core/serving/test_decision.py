# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Decisions: the probability of each option as the beginning of the answer, through the queue of all requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from talking import Asked
from tiny_engine import tiny_engine
from waiting import wait_for

from tinychat_core.engine import Engine
from tinychat_core.errors import InvalidParameterError
from tinychat_core.generation import SHORTEST_PIECE
from tinychat_core.sampling import SamplingParams
from tinychat_core.scoring import log_softmax
from tinychat_core.serving.chat_service import ChatService
from tinychat_core.serving.decision import _space_before_answer
from tinychat_core.serving.requests import ChatRequest, DecisionRequest, EmbeddingRequest
from tinychat_core.serving.results import DecisionResult, ErrorCode, FinishReason

QUESTION = 'Is the door open?'


@pytest.fixture(scope='module')
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = tiny_engine(tmp_path_factory.mktemp('tiny'))
    yield engine
    engine.close()


@pytest.fixture
def service(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatService]:
    monkeypatch.setattr(engine, 'close', lambda: None)  # the next test uses it, too
    service = ChatService(engine, 2)
    service.open()
    yield service
    service.close()


def decided(service: ChatService, prompt: str = QUESTION, options: Any = ('yes', 'no'), normalize_length: bool = False,
            **fields: Any) -> DecisionResult:
    question = ChatRequest(prompt=prompt, **fields)
    result = Asked(service, DecisionRequest(
        question=question, options=options, normalize_length=normalize_length)).result()
    assert isinstance(result, DecisionResult)
    return result


def expected(engine: Engine, options: Any, prompt: str = QUESTION) -> list[float]:
    """Return the log probability of each option, by `score`."""
    before = engine.tokenizer.encode_chat([{'role': 'user', 'content': prompt}])
    sums = []
    for option in options:
        tokens = engine.tokenizer.encode_within(option)
        rows = log_softmax(engine.score([*before, *tokens]))[len(before) - 1:-1]
        sums.append(sum(rows[i, token] for i, token in enumerate(tokens)))
    return sums


@pytest.mark.parametrize('options', [('y', 'n'), ('yes', 'no'), ('left', 'left turn', 'right', 'stop')])
def test_probabilities_are_those_of_score(service: ChatService, engine: Engine, options: Any) -> None:
    result = decided(service, options=options)
    sums = np.array(expected(engine, options))
    assert np.allclose(result.scores, sums, atol=1e-5)
    weights = np.exp(sums - sums.max())
    assert np.allclose(result.probabilities, weights / weights.sum(), atol=1e-5)
    assert sum(result.probabilities) == pytest.approx(1.0) and result.best == int(np.argmax(sums))
    assert result.entropy == pytest.approx(-sum(p * np.log(p) for p in result.probabilities))
    assert (result.finish_reason, result.new_tokens) == (FinishReason.STOP, 0)


def test_length_can_be_normalized(service: ChatService, engine: Engine) -> None:
    options = ('go', 'go to the kitchen')
    sums = [value / len(option) for value, option in zip(expected(engine, options), options, strict=True)]
    assert np.allclose(decided(service, options=options, normalize_length=True).scores, sums, atol=1e-5)


def test_only_the_end_of_a_prompt_is_computed_again(service: ChatService) -> None:
    first, second = decided(service), decided(service, options=('a', 'b'))
    assert first.prompt_tokens == second.prompt_tokens == len(QUESTION)
    assert (first.reused_tokens, second.reused_tokens) == (0, len(QUESTION) - SHORTEST_PIECE)


def test_the_same_question_gets_the_same_answer_the_second_time(service: ChatService) -> None:
    assert decided(service).scores == decided(service).scores


def test_a_conversation_comes_before_the_question_and_stays_as_it_is(service: ChatService) -> None:
    def answer(prompt: str) -> Any:
        return Asked(service, ChatRequest(prompt=prompt, conversation_id='ada', params=SamplingParams(
            max_new_tokens=4))).result()

    first = answer('I am Ada.')
    decision = decided(service, 'Who am I?', conversation_id='ada')
    assert decision.prompt_tokens > len('Who am I?') and decision.reused_tokens >= first.prompt_tokens
    again = answer('Again?')
    assert again.prompt_tokens == first.prompt_tokens + 4 + len('Again?')


def test_a_continued_answer_is_what_the_options_go_on_from(service: ChatService, engine: Engine) -> None:
    messages = [{'role': 'user', 'content': 'Which?'}, {'role': 'assistant', 'content': 'The '}]
    result = Asked(service, DecisionRequest(
        question=ChatRequest(messages=messages), options=('door', 'wall'))).result()
    assert isinstance(result, DecisionResult)
    assert np.allclose(result.scores, expected(engine, ('door', 'wall'), 'Which?The '), atol=1e-5)


def test_what_does_not_fit_is_refused(service: ChatService) -> None:
    assert decided(service, 'x' * 128, options=('a', 'b')).error_code == ErrorCode.NONE
    assert decided(service, 'x' * 129, options=('a', 'b')).error_code == ErrorCode.PROMPT_TOO_LONG
    assert decided(service, 'x' * 120, options=('a', 'b' * 20)).error_code == ErrorCode.PROMPT_TOO_LONG
    assert decided(service).error_code == ErrorCode.NONE


def test_it_waits_its_turn_and_can_be_canceled(service: ChatService, engine: Engine,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    running = Asked(service, ChatRequest(prompt='x', params=SamplingParams(max_new_tokens=100)))
    wait_for(lambda: running.deltas())
    asked = Asked(service, DecisionRequest(question=ChatRequest(prompt='x')))
    assert asked.handle.cancel()
    assert asked.result().finish_reason is FinishReason.CANCELED
    running.handle.cancel()
    running.result()


@pytest.mark.parametrize(('fields', 'told'), [
    ({'options': ('a',)}, '2 .. 1000'), ({'options': ()}, '2 .. 1000'), ({'options': ('a', '')}, r'options\[1\]'),
    ({'options': ('a', 'b', 'a')}, "'a' is there twice"), ({'options': ['a', 'x' * 1025]}, r'options\[1\]'),
    ({'options': [str(i) for i in range(1001)]}, '2 .. 1000')])
def test_impossible_options_are_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidParameterError, match=told):
        DecisionRequest(question=ChatRequest(prompt='x'), **fields)


class Spaced:
    """A tokenizer whose template writes a space before an answer, as LLaMA 2's does."""

    def encode_chat(self, messages: Any) -> list[int]:
        texts = [f'[{message["content"]}]' if message['role'] == 'user' else f' {message["content"]}'
                 for message in messages]
        return [*''.join(texts).encode()]

    def bytes_of(self, token: int) -> bytes:
        return bytes([token])


def test_the_space_of_the_template_belongs_to_an_option() -> None:
    assert _space_before_answer(Spaced()) == ' '  # type: ignore[arg-type]


# --- embeddings -------------------------------------------------------------------------------------------------------

def test_a_vector_is_the_mean_of_the_hidden_states(service: ChatService, engine: Engine) -> None:
    from tinychat_core.engine import ForwardBatch

    texts = ('hello', 'a door', 'hello')
    result: Any = Asked(service, EmbeddingRequest(texts=texts, normalize=False)).result()
    for text, vector in zip(texts, result.vectors, strict=True):
        batch = ForwardBatch()
        batch.add_sequence(engine.tokenizer.encode(text), engine.new_cache(), hidden='all')
        assert np.allclose(vector, engine.forward(batch).hidden.mean(axis=0), atol=1e-5)
    assert np.array_equal(result.vectors[0], result.vectors[2])
    assert result.prompt_tokens == sum(len(engine.tokenizer.encode(text)) for text in texts)


def test_vectors_have_length_one_unless_told_otherwise(service: ChatService) -> None:
    result: Any = Asked(service, EmbeddingRequest(texts=('a', 'b c'))).result()
    assert np.allclose(np.linalg.norm(result.vectors, axis=1), 1.0, atol=1e-6)


def test_a_long_text_is_refused_or_cut(service: ChatService) -> None:
    asked = EmbeddingRequest(texts=('a', 'x' * 200))
    refused = Asked(service, asked).result()
    assert refused.error_code == ErrorCode.PROMPT_TOO_LONG and 'text 1' in refused.error_message
    cut = Asked(service, EmbeddingRequest(texts=('x' * 200,), truncates=True)).result()
    assert cut.prompt_tokens == service.engine.context_length


@pytest.mark.parametrize('texts', [(), ('',), ('a', ''), ['x'] * 2049], ids=len)
def test_impossible_texts_are_refused(texts: Any) -> None:
    with pytest.raises(InvalidParameterError, match='texts'):
        EmbeddingRequest(texts=texts)
