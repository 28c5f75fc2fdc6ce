# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""POST /v1/chat/completions: what a whole answer has, and what each field does."""

from __future__ import annotations

from typing import Any

import pytest
from scripted_engine import ScriptedEngine
from serving_http import HELLO, Served

from tinychat_core.generation import SHORTEST_PIECE
from tinychat_core.sampling import SamplingParams
from tinychat_core.server.served_model import Defaults


def test_an_answer_has_every_field(served: Served) -> None:
    answer = served.chat(model='scripted').json()
    assert answer['object'] == 'chat.completion' and answer['model'] == 'scripted'
    assert answer['id'].startswith('chatcmpl-') and answer['created'] > 1.6e9
    (choice,) = answer['choices']
    assert choice == {'index': 0, 'message': {'role': 'assistant', 'content': 'Robots need maps.', 'refusal': None},
                      'logprobs': None, 'finish_reason': 'stop'}
    # Role, 5 letters, end, role of the answer; three words and the end.
    assert answer['usage'] == {'prompt_tokens': 8, 'completion_tokens': 4, 'total_tokens': 12,
                               'prompt_tokens_details': {'cached_tokens': 0}}


def test_cached_tokens_are_told(served: Served) -> None:
    question = [{'role': 'user', 'content': 'Hello, robot!'}]  # with roles and end 16 tokens
    served.chat(messages=question)
    usage = served.chat(messages=question).json()['usage']
    assert (usage['prompt_tokens'], usage['prompt_tokens_details']) == (16, {'cached_tokens': 16 - SHORTEST_PIECE})


@pytest.mark.parametrize(('content', 'text'), [
    ('Hi', 'Hi'), ('', ''), (None, ''), ([], ''), ([{'type': 'text', 'text': 'Hi'}], 'Hi'),
    ([{'type': 'text', 'text': 'a'}, {'type': 'text', 'text': 'b'}], 'a\nb')])
def test_a_content_is_a_string_null_or_parts(served: Served, engine: ScriptedEngine, content: Any, text: str) -> None:
    assert served.chat(messages=[{'role': 'user', 'content': content}]).status_code == 200
    assert engine.dialogues == [[{'role': 'user', 'content': text}]]


def test_all_roles_reach_the_template(served: Served, engine: ScriptedEngine) -> None:
    served.chat(messages=[{'role': 'developer', 'content': 'a'}, {'role': 'user', 'content': 'b'},
                          {'role': 'assistant', 'content': 'c', 'name': 'x'}, {'role': 'user', 'content': 'd'}])
    assert [message['role'] for message in engine.dialogues[0]] == ['system', 'user', 'assistant', 'user']


@pytest.mark.parametrize('field', ['max_tokens', 'max_completion_tokens'])
def test_the_length_is_limited(served: Served, field: str) -> None:
    answer = served.chat(**{field: 2}).json()
    assert answer['choices'][0]['message']['content'] == 'Robots need '
    assert answer['choices'][0]['finish_reason'] == 'length' and answer['usage']['completion_tokens'] == 2


@pytest.mark.parametrize('stop', ['maps', ['xyz', 'maps']])
def test_a_stop_text_ends_the_answer(served: Served, stop: Any) -> None:
    choice = served.chat(stop=stop).json()['choices'][0]
    assert (choice['message']['content'], choice['finish_reason']) == ('Robots need ', 'stop')


def test_sampling_reaches_the_core(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {'temperature': 0.5, 'top_p': 0.25, 'top_k': 7, 'min_p': 0.125, 'repetition_penalty': 1.5, 'seed': 11,
             'frequency_penalty': 0.5, 'presence_penalty': -1.5}
    requests = []
    submit = served.service.submit
    monkeypatch.setattr(served.service, 'submit', lambda request, *more: [requests.append(request),
                                                                          submit(request, *more)][1])
    assert served.chat(**given).status_code == 200
    assert {name: getattr(requests[0].params, name) for name in given} == given


@pytest.mark.parametrize(('given', 'seed'), [(-1, 2**63 - 1), (-2**63, 0), (2**63 - 1, 2**63 - 1)])
def test_a_seed_has_a_sign(served: Served, monkeypatch: pytest.MonkeyPatch, given: int, seed: int) -> None:
    requests = []
    submit = served.service.submit
    monkeypatch.setattr(served.service, 'submit', lambda request, *more: [requests.append(request),
                                                                          submit(request, *more)][1])
    assert served.chat(seed=given).status_code == 200
    assert requests[0].params.seed == seed


@pytest.mark.parametrize(('bias', 'answer'), [({'302': -100, '256': 1}, 'Robots need '), ({'256': 100}, '')])
def test_a_bias_changes_what_is_said(served: Served, bias: dict[str, float], answer: str) -> None:
    """256 ends an answer, 302 is its third word."""
    for path, text in (('chat/completions', {'messages': HELLO}), ('completions', {'prompt': 'Hello'})):
        (choice,) = served.client.post(f'/v1/{path}', json={**text, 'logit_bias': bias}).json()['choices']
        assert (choice['message']['content'] if 'message' in choice else choice['text']) == answer


def test_what_is_left_open_has_the_defaults(served: Served, engine: ScriptedEngine) -> None:
    served.defaults = Defaults(SamplingParams(max_new_tokens=1), 'Be brief.')
    assert served.chat().json()['choices'][0]['finish_reason'] == 'length'
    assert engine.dialogues[0][0] == {'role': 'system', 'content': 'Be brief.'}


def test_null_is_the_same_as_nothing(served: Served) -> None:
    names = ('model', 'max_tokens', 'max_completion_tokens', 'temperature', 'top_p', 'seed', 'stop', 'stream',
             'stream_options', 'n', 'frequency_penalty', 'presence_penalty', 'logit_bias', 'logprobs', 'top_logprobs',
             'tools', 'tool_choice', 'parallel_tool_calls', 'response_format')
    assert served.chat(**dict.fromkeys(names)).status_code == 200


def test_what_asks_for_nothing_is_accepted(served: Served) -> None:
    fields = {'n': 1, 'frequency_penalty': 0, 'presence_penalty': 0.0, 'logit_bias': {}, 'logprobs': False,
              'top_logprobs': 0, 'tools': [], 'tool_choice': 'none', 'parallel_tool_calls': True,
              'modalities': ['text']}
    assert served.chat(**fields).status_code == 200


def test_unknown_fields_are_ignored(served: Served) -> None:
    assert served.chat(user='me', metadata={'a': 1}, store=True, no_such_field=[{}]).status_code == 200


@pytest.mark.parametrize('format_', [
    {'type': 'json_object'},
    {'type': 'json_schema', 'json_schema': {'name': 'x', 'strict': True, 'schema': {
        'type': 'object', 'properties': {'n': {'type': 'integer'}}, 'required': ['n']}}}])
def test_an_answer_matches_its_format(served: Served, engine: ScriptedEngine, format_: Any) -> None:
    engine.words = [*'{"n": 1}']  # tokens are letters
    answer = served.chat(response_format=format_).json()
    assert answer['choices'][0]['message']['content'] == '{"n": 1}'


def test_the_text_format_is_any_text(served: Served) -> None:
    answer = served.chat(response_format={'type': 'text'}).json()
    assert answer['choices'][0]['message']['content'] == 'Robots need maps.'


def test_json_that_is_cut_off_has_used_up_its_length(served: Served, engine: ScriptedEngine) -> None:
    engine.words = [*'{"n": 1}']  # tokens are letters
    choice = served.chat(response_format={'type': 'json_object'}, max_tokens=3).json()['choices'][0]
    assert (choice['message']['content'], choice['finish_reason']) == ('{"n', 'length')


def test_the_models_are_one(served: Served) -> None:
    listed = served.client.get('/v1/models').json()
    assert listed['object'] == 'list' and [model['id'] for model in listed['data']] == ['scripted']
    assert served.client.get('/v1/models/scripted').json() == listed['data'][0]
    assert served.client.get('/v1/models/other').status_code == 404
