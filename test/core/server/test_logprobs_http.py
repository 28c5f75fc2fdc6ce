# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Log probabilities over HTTP: whole and streamed, in the forms of OpenAI and Ollama."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from scripted_engine import ScriptedEngine
from serving_http import error, HELLO, Served

WORDS = ['Robots ', 'need ', 'maps.', '']


def test_a_chat_has_one_for_each_token(served: Served) -> None:
    choice = served.chat(logprobs=True, top_logprobs=2).json()['choices'][0]
    content = choice['logprobs']['content']
    assert [each['token'] for each in content] == WORDS  # the end of the answer shows nothing
    assert ''.join(each['token'] for each in content) == choice['message']['content']
    assert [bytes(each['bytes']).decode() for each in content] == WORDS
    for each in content:
        assert each['logprob'] == pytest.approx(0.0, abs=1e-6)
        assert len(each['top_logprobs']) == 2 and each['top_logprobs'][0]['token'] == each['token']
        assert each['top_logprobs'][1]['logprob'] == pytest.approx(-100.0, abs=1e-4)


def test_without_alternatives(served: Served) -> None:
    content = served.chat(logprobs=True).json()['choices'][0]['logprobs']['content']
    assert [each['top_logprobs'] for each in content] == [[]] * 4


def test_a_stream_has_the_same_as_the_whole(served: Served) -> None:
    fields: dict[str, Any] = {'logprobs': True, 'top_logprobs': 1}
    whole = served.chat(**fields).json()['choices'][0]['logprobs']['content']
    pieces = [choice['logprobs'] for event in served.events(**fields) for choice in event['choices']]
    assert [each for piece in pieces if piece for each in piece['content']] == whole


def test_a_character_of_several_tokens_keeps_its_bytes(served: Served, engine: ScriptedEngine) -> None:
    served.engine.script = [*'é'.encode(), 256]
    engine.vocab_size = engine.tokenizer.vocab_size = 257
    choice = served.chat(logprobs=True).json()['choices'][0]
    content = choice['logprobs']['content']
    assert choice['message']['content'] == 'é'
    assert [each['token'] for each in content] == ['\N{REPLACEMENT CHARACTER}'] * 2 + ['']
    assert bytes(byte for each in content for byte in each['bytes']).decode() == 'é'


def test_completions_have_their_own_form(served: Served) -> None:
    body = {'prompt': 'Hi', 'logprobs': 2}
    whole = served.client.post('/v1/completions', json=body).json()['choices'][0]['logprobs']
    assert whole['tokens'] == WORDS and whole['text_offset'] == [0, 7, 12, 17]
    assert whole['token_logprobs'] == pytest.approx([0.0] * 4, abs=1e-6)
    assert [len(each) for each in whole['top_logprobs'][:3]] == [2] * 3
    pieces = [choice['logprobs'] for event in served.events('/v1/completions', **body) for choice in event['choices']]
    for name, values in whole.items():
        assert [value for piece in pieces if piece for value in piece[name]] == values


def test_ollamas_form(served: Served) -> None:
    body = {'messages': HELLO, 'logprobs': True, 'top_logprobs': 1}
    whole = served.client.post('/api/chat', json={**body, 'stream': False}).json()['logprobs']
    assert [each['token'] for each in whole] == WORDS and len(whole[0]['top_logprobs']) == 1
    lines = [json.loads(line) for line in served.stream('/api/chat', body)]
    assert [each for line in lines for each in line.get('logprobs', ())] == whole


def test_the_client_of_openai_reads_them(served: Served) -> None:
    client = openai.OpenAI(base_url=f'{served.url}/v1', api_key='none', max_retries=0)
    answer = client.chat.completions.create(
        model='scripted', messages=[{'role': 'user', 'content': 'Hello'}], logprobs=True, top_logprobs=3)
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None and logprobs.content is not None
    assert [len(each.top_logprobs) for each in logprobs.content] == [3] * 4


@pytest.mark.parametrize(('fields', 'param'), [
    ({'logprobs': True, 'top_logprobs': 21}, 'top_logprobs'), ({'logprobs': True, 'top_logprobs': -1}, 'top_logprobs'),
    ({'top_logprobs': 5}, 'top_logprobs'), ({'logprobs': 'yes'}, 'logprobs'),
    ({'logprobs': True, 'top_logprobs': 1.5}, 'top_logprobs')])
def test_what_is_out_of_range_is_named(served: Served, fields: dict[str, Any], param: str) -> None:
    response = served.chat(**fields)
    assert response.status_code == 400 and error(response)['param'] == param


@pytest.mark.parametrize('value', [-1, 21, '3'])
def test_of_completions_too(served: Served, value: Any) -> None:
    response = served.client.post('/v1/completions', json={'prompt': 'Hi', 'logprobs': value})
    assert response.status_code == 400 and error(response)['param'] == 'logprobs'
