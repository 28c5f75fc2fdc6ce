# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Every field wrong in type, size or range: a 4xx in OpenAI's form with the field's name, and the server serves on."""

from __future__ import annotations

import json
from typing import Any

import pytest
from serving_http import error, HELLO, Served

MANY = [{'role': 'user', 'content': 'x'}] * 10_001
SCHEMA = {'type': 'json_schema', 'json_schema': {'schema': {}}}

FIELDS: list[tuple[dict[str, Any], str]] = [
    ({'messages': 'Hello'}, 'messages'),
    ({'messages': []}, 'messages'),
    ({'messages': None}, 'messages'),
    ({'messages': [3]}, 'messages[0]'),
    ({'messages': [{}]}, 'messages[0].role'),
    ({'messages': [{'role': 'robot', 'content': 'x'}]}, 'messages[0].role'),
    ({'messages': [{'role': 5, 'content': 'x'}]}, 'messages[0].role'),
    ({'messages': [*HELLO, {'role': 'user', 'content': 5}]}, 'messages[1].content'),
    ({'messages': [{'role': 'user', 'content': [{'text': 'x'}]}]}, 'messages[0].content[0].type'),
    ({'messages': [{'role': 'user', 'content': [{'type': 'image_url', 'image_url': {'url': 'data:,'}}]}]},
     'messages[0].content[0].image_url'),
    ({'messages': MANY}, 'messages'),
    ({'model': 5}, 'model'), ({'model': 'gpt-4'}, 'model'),
    ({'max_tokens': 0}, 'max_tokens'), ({'max_tokens': -1}, 'max_tokens'), ({'max_tokens': '9'}, 'max_tokens'),
    ({'max_tokens': 1.5}, 'max_tokens'), ({'max_tokens': True}, 'max_tokens'), ({'max_tokens': 2**31}, 'max_tokens'),
    ({'max_completion_tokens': 0}, 'max_completion_tokens'),
    ({'max_completion_tokens': 10**40}, 'max_completion_tokens'),
    ({'temperature': -0.1}, 'temperature'), ({'temperature': 101}, 'temperature'),
    ({'temperature': 'hot'}, 'temperature'), ({'temperature': True}, 'temperature'),
    ({'top_p': 1.1}, 'top_p'), ({'top_p': [1]}, 'top_p'), ({'top_k': -1}, 'top_k'), ({'min_p': 2}, 'min_p'),
    ({'repetition_penalty': 0}, 'repetition_penalty'), ({'seed': -2**63 - 1}, 'seed'), ({'seed': 2**63}, 'seed'),
    ({'seed': 1.5}, 'seed'),
    ({'stop': 5}, 'stop'), ({'stop': ''}, 'stop'), ({'stop': ['a', '']}, 'stop'), ({'stop': ['a', 5]}, 'stop[1]'),
    ({'stop': ['a'] * 65}, 'stop'), ({'stop': 'a' * 1025}, 'stop'),
    ({'stream': 'yes'}, 'stream'), ({'stream_options': 5}, 'stream_options'),
    ({'n': 9}, 'n'), ({'n': 0}, 'n'), ({'n': -1}, 'n'), ({'n': 10**40}, 'n'), ({'n': 'one'}, 'n'),
    ({'logprobs': 5}, 'logprobs'),
    ({'top_logprobs': 5}, 'top_logprobs'), ({'frequency_penalty': 2.1}, 'frequency_penalty'),
    ({'frequency_penalty': 'much'}, 'frequency_penalty'), ({'presence_penalty': -2.1}, 'presence_penalty'),
    ({'logit_bias': {'5': 101}}, 'logit_bias'), ({'logit_bias': {'maps': 1}}, 'logit_bias'),
    ({'logit_bias': {'-1': 1}}, 'logit_bias'), ({'logit_bias': {'3000': 1}}, 'logit_bias'),
    ({'logit_bias': {'9' * 5000: 1}}, 'logit_bias'), ({'logit_bias': {'5': 'x'}}, 'logit_bias[...]'),
    ({'logit_bias': {str(i): 1 for i in range(1025)}}, 'logit_bias'), ({'logit_bias': [5]}, 'logit_bias'),
    ({'logit_bias': [5]}, 'logit_bias'),
    ({'functions': [{}]}, 'functions'), ({'modalities': ['audio']}, 'modalities'), ({'audio': {}}, 'audio'),
    ({'response_format': 'json'}, 'response_format'), ({'response_format': {}}, 'response_format.type'),
    ({'response_format': {'type': 'xml'}}, 'response_format.type'),
    ({'response_format': {'type': 'json_schema'}}, 'response_format.json_schema'),
    ({'response_format': {'type': 'json_schema', 'json_schema': {}}}, 'response_format.json_schema.schema'),
    ({'response_format': {'type': 'json_schema', 'json_schema': {'schema': {'type': 'robot'}}}}, 'response_format'),
    ({'response_format': {'type': 'json_schema', 'json_schema': {'schema': {'enum': ['x' * 20_001]}}}},
     'response_format'),
]


@pytest.mark.parametrize(('fields', 'param'), FIELDS, ids=lambda value: str(value)[:60])
def test_a_wrong_field_is_named(served: Served, fields: dict[str, Any], param: str) -> None:
    response = served.chat(**fields)
    told = error(response)
    assert response.status_code in (400, 404), told
    assert told['param'] == param and param.split('.')[0].split('[')[0] in told['message']
    assert len(told['message']) < 1100


BODIES = [b'', b'{', b'[]', b'5', b'null', b'\xff\xfe', b'{"model": "\xff"}', b'{"model": "\\ud800"}',
          b'{"x": ' + b'[' * 100_000, b'{"x": NaN}', b'{"stream": 1e999}', b'\x00' * 100, b'{"model": "x"} {}']


@pytest.mark.parametrize('body', BODIES, ids=lambda body: repr(body[:40]))
@pytest.mark.parametrize('path', ['/v1/chat/completions', '/v1/completions', '/api/chat', '/api/generate'])
def test_what_is_no_json_object(served: Served, path: str, body: bytes) -> None:
    response = served.client.post(path, content=body)
    assert response.status_code == 400 and response.json()['error']


def test_a_body_that_is_too_large(served: Served) -> None:
    body = json.dumps({'messages': [{'role': 'user', 'content': 'x' * 10_000_000}]}).encode()
    response = served.client.post('/v1/chat/completions', content=body)
    assert response.status_code == 413 and 'bytes' in error(response)['message']
    assert served.chat().status_code == 200


@pytest.mark.parametrize('path', ['/v1/completions', '/v1/embeddings', '/v1/decisions', '/api/chat', '/api/embed'])
def test_a_body_of_unknown_length_that_is_too_large(served: Served, path: str) -> None:
    response = served.client.post(path, content=(b'x' * 100_000 for _ in range(100)))  # sent in chunks
    assert response.status_code == 413 and response.json()['error']
    assert served.chat().status_code == 200


@pytest.mark.parametrize(('path', 'body'), [
    ('/v1/chat/completions', b'{"messages": [{"role": "user", "content": "\xff"}]}'),
    ('/v1/completions', b'{"prompt": "\xc3"}'), ('/v1/embeddings', b'{"input": "\xed\xa0\x80"}'),
    ('/v1/decisions', b'{"question": "\xf8\x88"}'), ('/api/chat', b'{"messages": [{"role": "\xff"}]}'),
    ('/api/generate', b'{"prompt": "a\xffb"}'), ('/api/embed', b'{"input": ["\xff"]}'), ('/api/show', b'"\xff')])
def test_invalid_utf8(served: Served, path: str, body: bytes) -> None:
    response = served.client.post(path, content=body)
    assert response.status_code == 400 and response.json()['error']


def test_ten_thousand_messages_are_more_than_the_context(served: Served) -> None:
    response = served.chat(messages=MANY[1:])
    assert response.status_code == 400 and error(response)['code'] == 'context_length_exceeded'


def test_what_is_not_there(served: Served) -> None:
    assert error(served.client.get('/v1/nothing'))['type'] == 'not_found_error'
    response = served.client.get('/v1/chat/completions')
    assert response.status_code == 405 and error(response)['message'].startswith('GET /v1/chat/completions')


def test_a_model_without_a_template(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    from tinychat_core.errors import TinyChatError

    def refuse(messages: Any, **_: Any) -> None:
        raise TinyChatError('the model has no chat template')

    monkeypatch.setattr(served.engine.tokenizer, 'encode_chat', refuse)
    response = served.chat()
    assert response.status_code == 400 and 'chat template' in error(response)['message']
    assert served.client.post('/v1/completions', json={'prompt': 'x'}).status_code == 200


def test_a_defect_is_a_500_and_says_nothing(served: Served, monkeypatch: pytest.MonkeyPatch,
                                            core_log: pytest.LogCaptureFixture) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError('a secret')

    monkeypatch.setattr(served.service, 'submit', fail)
    response = served.chat()
    assert response.status_code == 500 and error(response)['type'] == 'server_error'
    assert 'secret' not in response.text and 'secret' not in core_log.text


def test_no_text_is_logged(served: Served, core_log: pytest.LogCaptureFixture) -> None:
    core_log.set_level('INFO')
    served.chat(messages=[{'role': 'user', 'content': 'a secret'}])
    served.events(messages=[{'role': 'user', 'content': 'a secret'}])
    assert '/v1/chat/completions: stop, ' in core_log.text
    assert 'secret' not in core_log.text and 'Robots' not in core_log.text
