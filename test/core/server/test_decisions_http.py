# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""POST /v1/decisions, and embeddings as the clients of OpenAI and Ollama ask for them, over a real engine."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from typing import Any

import numpy as np
import ollama
import openai
import pytest
from serving_http import error, HELLO, Served
from tiny_engine import tiny_engine

from tinychat_core.engine import Engine

DECIDE = {'question': 'Is the door open?', 'options': ['yes', 'no', 'maybe']}


@pytest.fixture(scope='module')
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    engine: Engine = tiny_engine(tmp_path_factory.mktemp('tiny'))
    served = Served(engine)  # type: ignore[arg-type]
    yield served
    served.close()


def test_each_option_has_its_probability(served: Served) -> None:
    answer = served.client.post('/v1/decisions', json=DECIDE).json()
    assert [option['option'] for option in answer['options']] == DECIDE['options']
    probabilities = [option['probability'] for option in answer['options']]
    assert sum(probabilities) == pytest.approx(1.0)
    assert answer['choice'] == DECIDE['options'][answer['best']] and answer['best'] == int(np.argmax(probabilities))
    assert answer['usage'] == {'prompt_tokens': 17, 'completion_tokens': 0, 'total_tokens': 17,
                               'prompt_tokens_details': {'cached_tokens': answer['usage']['prompt_tokens_details'][
                                   'cached_tokens']}}
    assert answer['entropy'] == pytest.approx(-sum(p * np.log(p) for p in probabilities))


def test_messages_are_the_same_as_a_question(served: Served) -> None:
    messages = [{'role': 'user', 'content': DECIDE['question']}]
    asked = served.client.post('/v1/decisions', json={'messages': messages, 'options': DECIDE['options']}).json()
    again = served.client.post('/v1/decisions', json=DECIDE).json()
    assert [o['score'] for o in asked['options']] == pytest.approx([o['score'] for o in again['options']], abs=1e-6)


def test_yes_or_no_unless_told_otherwise(served: Served) -> None:
    answer = served.client.post('/v1/decisions', json={'question': 'x'}).json()
    assert [option['option'] for option in answer['options']] == ['yes', 'no']


@pytest.mark.parametrize(('fields', 'param'), [
    ({'question': None}, 'question'), ({'question': ''}, 'question'), ({'messages': HELLO}, 'question'),
    ({'question': 5}, 'question'), ({'options': []}, 'options'), ({'options': ['a']}, 'options'),
    ({'options': 'yes'}, 'options'), ({'options': ['a', 5]}, 'options[1]'), ({'options': ['a', '']}, 'options[1]'),
    ({'options': ['a', 'a']}, 'options'), ({'options': ['a', 'x' * 1025]}, 'options[1]'),
    ({'options': ['x'] * 1001}, 'options'), ({'model': 'other'}, 'model'),
    ({'normalize_length': 'yes'}, 'normalize_length'), ({'question': None, 'messages': []}, 'messages'),
    ({'question': None, 'messages': [{'role': 'robot', 'content': 'x'}]}, 'messages[0].role')],
    ids=lambda value: str(value)[:40])
def test_a_wrong_field_is_named(served: Served, fields: dict[str, Any], param: str) -> None:
    response = served.client.post('/v1/decisions', json={**DECIDE, **fields})
    assert response.status_code in (400, 404) and error(response)['param'] == param


def test_a_question_that_is_too_long(served: Served) -> None:
    response = served.client.post('/v1/decisions', json={'question': 'x' * 200})
    assert response.status_code == 400 and error(response)['code'] == 'context_length_exceeded'


# --- embeddings -------------------------------------------------------------------------------------------------------

def test_a_text_or_several_become_vectors(served: Served) -> None:
    one = served.client.post('/v1/embeddings', json={'input': 'hello', 'model': 'tiny'}).json()
    several = served.client.post('/v1/embeddings', json={'input': ['hello', 'a door']}).json()
    assert one['object'] == 'list' and one['data'][0]['object'] == 'embedding' and one['model'] == 'tiny'
    assert [each['index'] for each in several['data']] == [0, 1]
    assert one['data'][0]['embedding'] == several['data'][0]['embedding']
    assert np.linalg.norm(one['data'][0]['embedding']) == pytest.approx(1.0, abs=1e-5)
    assert several['usage']['prompt_tokens'] == several['usage']['total_tokens'] > one['usage']['prompt_tokens']


def test_base64_is_the_same_numbers(served: Served) -> None:
    floats = served.client.post('/v1/embeddings', json={'input': 'x'}).json()['data'][0]['embedding']
    text = served.client.post('/v1/embeddings', json={'input': 'x', 'encoding_format': 'base64'}).json()
    assert np.array_equal(np.frombuffer(b64decode(text['data'][0]['embedding']), '<f4'), np.float32(floats))


@pytest.mark.parametrize(('fields', 'param', 'told'), [
    ({'input': None}, 'input', ''), ({'input': []}, 'input', '1 .. 2048'), ({'input': ''}, 'input[0]', 'empty'),
    ({'input': ['a', '']}, 'input[1]', 'empty'), ({'input': 5}, 'input', ''),
    ({'input': ['x'] * 2049}, 'input', '2048'),
    ({'input': [1, 2]}, 'input', 'check_embedding_ctx_length=False'), ({'input': [[1, 2]]}, 'input', 'token ids'),
    ({'model': 'other'}, 'model', 'not served'), ({'dimensions': 3}, 'dimensions', '64'),
    ({'dimensions': 'all'}, 'dimensions', ''), ({'encoding_format': 'hex'}, 'encoding_format', 'base64')],
    ids=lambda value: str(value)[:40])
def test_a_wrong_field_of_embeddings_is_named(served: Served, fields: dict[str, Any], param: str, told: str) -> None:
    response = served.client.post('/v1/embeddings', json={'input': 'x', **fields})
    assert response.status_code in (400, 404) and error(response)['param'] == param
    assert told in error(response)['message']


def test_a_text_that_is_too_long(served: Served) -> None:
    response = served.client.post('/v1/embeddings', json={'input': 'x' * 200})
    assert response.status_code == 400 and error(response)['code'] == 'context_length_exceeded'
    cut = served.client.post('/api/embed', json={'input': 'x' * 200}).json()
    assert cut['prompt_eval_count'] == 128
    assert served.client.post('/api/embed', json={'input': 'x' * 200, 'truncate': False}).status_code == 400


def test_the_clients_get_the_same_vectors(served: Served) -> None:
    client = openai.OpenAI(base_url=f'{served.url}/v1', api_key='none', max_retries=0)
    expected = client.embeddings.create(model='tiny', input=['hello', 'a door'], encoding_format='float')
    vectors = [each.embedding for each in expected.data]
    in_base64 = client.embeddings.create(model='tiny', input=['hello', 'a door'])
    assert np.allclose([each.embedding for each in in_base64.data], vectors, atol=1e-7)
    of_ollama = ollama.Client(served.url).embed(model='tiny', input=['hello', 'a door'])
    assert np.allclose(of_ollama.embeddings, vectors, atol=1e-6)
    old = ollama.Client(served.url).embeddings(model='tiny', prompt='hello').embedding
    assert np.allclose(np.array(old) / np.linalg.norm(old), vectors[0], atol=1e-6)


@pytest.mark.large
def test_langchain_gets_the_same_vectors(served: Served) -> None:
    from langchain_ollama import OllamaEmbeddings
    from langchain_openai import OpenAIEmbeddings

    texts = ['hello', 'a door']
    body = {'input': texts}
    vectors = [each['embedding'] for each in served.client.post('/v1/embeddings', json=body).json()['data']]
    of_openai = OpenAIEmbeddings(model='tiny', base_url=f'{served.url}/v1', api_key='none',  # type: ignore[arg-type]
                                 check_embedding_ctx_length=False)
    for client in (of_openai, OllamaEmbeddings(model='tiny', base_url=served.url)):
        assert np.allclose(client.embed_documents(texts), vectors, atol=1e-6)
        assert np.allclose(client.embed_query('hello'), vectors[0], atol=1e-6)
    with pytest.raises(openai.BadRequestError, match='check_embedding_ctx_length=False'):
        OpenAIEmbeddings(model='tiny', base_url=f'{served.url}/v1', api_key='none',  # type: ignore[arg-type]
                         tiktoken_enabled=False, chunk_size=1).client.create(input=[[1, 2]], model='tiny')


def test_an_empty_input_loads(served: Served) -> None:
    assert served.client.post('/api/embed', json={'model': 'tiny'}).json()['embeddings'] == []
