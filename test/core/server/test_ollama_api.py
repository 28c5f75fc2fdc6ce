# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Ollama's API: lines of JSON, whole answers, and requests that only load."""

from __future__ import annotations

import json
from typing import Any

import pytest
from scripted_engine import ScriptedEngine
from serving_http import HELLO, Served


def test_a_chat_is_streamed_unless_told_otherwise(served: Served) -> None:
    *lines, last = map(json.loads, served.stream('/api/chat', {'model': 'scripted', 'messages': HELLO}))
    assert [line['message'] for line in lines] == [{'role': 'assistant', 'content': text}
                                                   for text in ('Robots ', 'need ', 'maps.')]
    assert not any(line['done'] for line in lines)
    assert last['done'] and last['done_reason'] == 'stop'
    assert (last['prompt_eval_count'], last['eval_count']) == (8, 4)
    assert all(isinstance(last[name], int) for name in ('total_duration', 'load_duration', 'prompt_eval_duration',
                                                        'eval_duration'))


def test_a_whole_chat(served: Served) -> None:
    answer = served.client.post('/api/chat', json={'messages': HELLO, 'stream': False}).json()
    assert answer['message']['content'] == 'Robots need maps.' and answer['model'] == 'scripted'


def test_a_prompt_is_answered_with_its_system_prompt(served: Served, engine: ScriptedEngine) -> None:
    body = {'model': 'scripted:latest', 'prompt': 'Hi', 'system': 'Be brief.', 'stream': False}
    answer = served.client.post('/api/generate', json=body).json()
    assert answer['response'] == 'Robots need maps.'
    assert [message['content'] for message in engine.dialogues[0]] == ['Be brief.', 'Hi']


def test_a_raw_prompt_has_no_template(served: Served, engine: ScriptedEngine) -> None:
    served.stream('/api/generate', {'prompt': 'Hi', 'raw': True})
    assert engine.prefilled == [[72, 105]]


@pytest.mark.parametrize(('path', 'body'), [('/api/generate', {}), ('/api/generate', {'prompt': ''}),
                                            ('/api/chat', {}), ('/api/chat', {'messages': []})])
def test_an_empty_request_loads(served: Served, path: str, body: dict[str, Any]) -> None:
    answer = served.client.post(path, json={'model': 'scripted', **body}).json()
    assert answer['done'] is True and answer['done_reason'] == 'load'


def test_options_reach_the_core(served: Served, engine: ScriptedEngine) -> None:
    engine.words = ['word '] * 50
    body = {'messages': HELLO, 'stream': False, 'options': {
        'num_predict': 5, 'temperature': 0, 'top_k': 3, 'top_p': 0.5, 'min_p': 0.1, 'repeat_penalty': 1.1, 'seed': 1,
        'stop': ['xyz'], 'num_ctx': 4096, 'typical_p': 1.0,
        'frequency_penalty': 0.5, 'presence_penalty': 0.5}}
    answer = served.client.post('/api/chat', json=body).json()
    assert (answer['eval_count'], answer['done_reason']) == (5, 'length')
    answer = served.client.post('/api/chat', json={**body, 'options': {'num_predict': 1, 'seed': -1}})
    assert answer.status_code == 200  # a negative seed is a new one each time
    unlimited = served.client.post('/api/chat', json={**body, 'options': {'num_predict': -1}}).json()
    assert unlimited['eval_count'] == 51


@pytest.mark.parametrize('format_', ['json', {'type': 'object', 'properties': {'n': {'type': 'integer'}}}])
def test_an_answer_matches_its_format(served: Served, engine: ScriptedEngine, format_: Any) -> None:
    engine.words = [*'{"n": 1}']  # tokens are letters
    answer = served.client.post('/api/chat', json={'messages': HELLO, 'format': format_, 'stream': False}).json()
    assert answer['message']['content'] == '{"n": 1}'


def test_what_there_is(served: Served) -> None:
    (model,) = served.client.get('/api/tags').json()['models']
    assert model['name'] == model['model'] == 'scripted' and model['details']['family'] == 'llama'
    shown = served.client.post('/api/show', json={'model': 'scripted'}).json()
    assert shown['model_info']['llama.context_length'] == 4000 and shown['capabilities'] == ['completion', 'tools']
    assert served.client.get('/').text == 'Ollama is running'
    assert served.client.head('/').status_code == 200


@pytest.mark.parametrize(('path', 'body', 'status'), [
    ('/api/chat', {'model': 'other', 'messages': HELLO}, 404),
    ('/api/show', {'model': 'other'}, 404),
    ('/api/chat', {'messages': HELLO, 'tools': [{}]}, 400),
    ('/api/chat', {'messages': [{'role': 'user', 'content': 'x', 'images': ['aGk=']}]}, 400),
    ('/api/chat', {'messages': HELLO, 'format': 'xml'}, 400),
    ('/api/chat', {'messages': HELLO, 'options': {'temperature': 'hot'}}, 400),
    ('/api/chat', {'messages': HELLO, 'options': {'mirostat': 2}}, 400),
    ('/api/chat', {'messages': HELLO, 'options': {'frequency_penalty': 3}}, 400),
    ('/api/generate', {'prompt': 'x', 'images': ['aGk=']}, 400),
    ('/api/generate', {'prompt': 'x', 'suffix': 'y'}, 400),
    ('/api/generate', {'prompt': 'x', 'context': [1]}, 400),
    ('/api/generate', {'prompt': '  '}, 400),
    ('/api/embed', {'input': 5}, 400),
    ('/api/pull', {'model': 'x'}, 404)])
def test_an_error_is_a_text(served: Served, path: str, body: Any, status: int) -> None:
    response = served.client.post(path, json=body)
    assert response.status_code == status and isinstance(response.json()['error'], str)
