# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The body of a request is what OpenAI's API defines; a value without effect is not sent."""

from __future__ import annotations

from typing import Any

import pytest

from tinychat_core.remote.openai_request import body_of, ignored_sampling
from tinychat_core.remote.outcomes import Unable
from tinychat_core.sampling import SamplingParams
from tinychat_core.serving.requests import ChatRequest
from tinychat_core.text.tool_calls.tools import tool_use
from tinychat_core.vision.sources import EncodedImage

TOOL = {'type': 'function', 'function': {'name': 'drive', 'description': 'Drive.', 'parameters': {
    'type': 'object', 'properties': {'metres': {'type': 'number'}}}}}


def body(prompt: str = 'Hello', **fields: Any) -> dict[str, Any]:
    request = ChatRequest(**({'prompt': prompt} if 'messages' not in fields else {}), **fields)
    return body_of(request, request.dialogue, 'small')


def test_a_plain_prompt() -> None:
    told = body(system_prompt='Be short.')
    assert 0 <= told.pop('seed') < 2**31
    assert told == {
        'model': 'small', 'stream': True, 'stream_options': {'include_usage': True}, 'max_tokens': 512,
        'temperature': 0.0, 'top_p': 1.0,
        'messages': [{'role': 'system', 'content': 'Be short.'}, {'role': 'user', 'content': 'Hello'}]}


def test_sampling_and_structure() -> None:
    told = body(params=SamplingParams(max_new_tokens=9, temperature=0.5, top_k=40, top_p=0.9, min_p=0.1, seed=7,
                                      repetition_penalty=1.1, frequency_penalty=0.5, presence_penalty=-0.5,
                                      stop=('\n',), json_schema='{"type": "object"}'),
                thinking=False)
    assert {name: told[name] for name in ('max_tokens', 'temperature', 'top_k', 'top_p', 'min_p', 'seed', 'stop')} == {
        'max_tokens': 9, 'temperature': 0.5, 'top_k': 40, 'top_p': 0.9, 'min_p': 0.1, 'seed': 7, 'stop': ['\n']}
    assert (told['frequency_penalty'], told['presence_penalty']) == (0.5, -0.5)
    assert told['repetition_penalty'] == 1.1 and told['chat_template_kwargs'] == {'enable_thinking': False}
    assert told['response_format'] == {'type': 'json_schema', 'json_schema': {
        'name': 'answer', 'strict': True, 'schema': {'type': 'object'}}}


@pytest.mark.parametrize(('choice', 'sent'), [
    ('', 'auto'), ('required', 'required'), ('drive', {'type': 'function', 'function': {'name': 'drive'}})])
def test_tools(choice: str, sent: Any) -> None:
    told = body(tools=tool_use([TOOL], choice, parallel=False))
    assert (told['tools'], told['tool_choice'], told['parallel_tool_calls']) == ([TOOL], sent, False)


def test_a_dialogue_with_calls() -> None:
    call = {'id': 'a', 'name': 'drive', 'arguments': '{"metres": 2}'}
    told = body(messages=[{'role': 'user', 'content': 'Go'},
                          {'role': 'assistant', 'content': '', 'thoughts': 'Hm.', 'tool_calls': [call]},
                          {'role': 'tool', 'content': 'done', 'tool_call_id': 'a'}])
    assert told['messages'][1] == {'role': 'assistant', 'content': '', 'reasoning_content': 'Hm.', 'tool_calls': [
        {'id': 'a', 'type': 'function', 'function': {'name': 'drive', 'arguments': '{"metres": 2}'}}]}
    assert told['messages'][2] == {'role': 'tool', 'content': 'done', 'tool_call_id': 'a'}


def test_what_the_api_lacks_is_refused() -> None:
    with pytest.raises(Unable, match='bias'):
        body(params=SamplingParams(logit_bias={5: 1.0}))
    with pytest.raises(Unable, match='regular expression'):
        body(params=SamplingParams(regex='a+'))


def test_images_are_never_dropped_on_the_way_to_a_server() -> None:
    image = EncodedImage(b'')
    with pytest.raises(Unable, match='images'):
        body(images=[image])
    with pytest.raises(Unable, match='images'):  # those of an earlier turn of a conversation
        body_of(ChatRequest(prompt='and now?'), [{'role': 'user', 'content': 'what?', 'images': [image]},
                                                 {'role': 'assistant', 'content': 'a door'},
                                                 {'role': 'user', 'content': 'and now?'}], 'small')


def test_dry_is_not_sent_and_said() -> None:
    request = ChatRequest(prompt='Hello', params=SamplingParams(dry_multiplier=0.8))
    assert ignored_sampling(request) == 'dry_multiplier' and 'dry' not in str(body_of(request, [], 'small'))
    assert ignored_sampling(ChatRequest(prompt='Hello')) == ''
