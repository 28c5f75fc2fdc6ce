# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Tools, calls and thoughts over HTTP: what is offered, what comes back, whole and streamed, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import json
from typing import Any

import ollama
import openai
import pytest
from scripted_engine import EOS, ScriptedEngine, ScriptedTokenizer
from serving_http import error, HELLO, Served

from tinychat_core.text.thoughts import ThoughtMarks

TOOLS = [{'type': 'function', 'function': {'name': 'go', 'description': 'Drive.', 'parameters': {
    'type': 'object', 'properties': {'x': {'type': 'integer'}}, 'required': ['x']}}}]
CALL = '<tool_call>\n{"name": "go", "arguments": {"x": 1}}\n</tool_call>'
ANSWER = f'<think>\nI must.\n</think>\n\nLet me see.\n{CALL}\n{CALL}'
ASKED = {'role': 'assistant', 'content': None, 'tool_calls': [
    {'id': 'a', 'type': 'function', 'function': {'name': 'go', 'arguments': '{"x": 1}'}}]}
DONE = {'role': 'tool', 'content': 'Done.', 'tool_call_id': 'a'}


class Bytes(ScriptedTokenizer):
    """Tokens that are bytes, also where a grammar forces a text; the model may think."""

    thought_marks = ThoughtMarks('<think>', '</think>')

    def encode_within(self, text: str) -> list[int]:
        return [*text.encode()]


@pytest.fixture
def say(serve: Callable[..., Served], engine: ScriptedEngine) -> Iterator[Callable[[str], Served]]:
    """Return a function that returns a server whose model would like to say a text."""
    def begin(script: str) -> Served:
        engine.__init__([*script.encode(), *[EOS] * 100])  # type: ignore[misc]
        engine.tokenizer = Bytes()
        return serve()

    yield begin


def test_calls_and_thoughts_come_apart(say: Callable[[str], Served]) -> None:
    choice = say(ANSWER).chat(tools=TOOLS).json()['choices'][0]
    message = choice['message']
    assert (message['content'], message['reasoning_content']) == ('Let me see.', 'I must.')
    assert [call['function'] for call in message['tool_calls']] == [{'name': 'go', 'arguments': '{"x": 1}'}] * 2
    assert len({call['id'] for call in message['tool_calls']}) == 2
    assert choice['finish_reason'] == 'tool_calls'


def test_a_call_alone_has_no_content(say: Callable[[str], Served]) -> None:
    assert say(CALL).chat(tools=TOOLS).json()['choices'][0]['message']['content'] is None


def test_calls_are_streamed_as_indexed_deltas(say: Callable[[str], Served]) -> None:
    events = say(ANSWER).events(tools=TOOLS)
    deltas = [event['choices'][0]['delta'] for event in events]
    assert ''.join(delta.get('content', '') for delta in deltas) == 'Let me see.'
    assert ''.join(delta.get('reasoning_content', '') for delta in deltas) == 'I must.'
    calls = [call for delta in deltas for call in delta.get('tool_calls', ())]
    assert [(call['index'], call['function']['name'], call['type']) for call in calls if 'id' in call] == [
        (0, 'go', 'function'), (1, 'go', 'function')]
    assert [''.join(call['function']['arguments'] for call in calls if call['index'] == i)
            for i in (0, 1)] == ['{"x": 1}'] * 2
    assert events[-1]['choices'][0]['finish_reason'] == 'tool_calls'


@pytest.mark.parametrize('choice', ['required', {'type': 'function', 'function': {'name': 'go'}}])
def test_a_call_can_be_required(say: Callable[[str], Served], choice: Any) -> None:
    message = say(CALL).chat(tools=TOOLS, tool_choice=choice).json()['choices'][0]['message']
    assert message['tool_calls'][0]['function']['name'] == 'go'


def test_without_tools_a_mark_is_text(say: Callable[[str], Served]) -> None:
    assert say(CALL).chat().json()['choices'][0]['message']['content'] == CALL


def test_a_tool_that_must_not_be_called_is_not(say: Callable[[str], Served]) -> None:
    choice = say(CALL).chat(tools=TOOLS, tool_choice='none').json()['choices'][0]
    assert 'tool_calls' not in choice['message'] and choice['finish_reason'] == 'stop'


def test_results_reach_the_template(say: Callable[[str], Served], engine: ScriptedEngine) -> None:
    assert say('Fine.').chat(messages=[*HELLO, ASKED, DONE], tools=TOOLS).status_code == 200
    assert engine.dialogues[0][1:] == [
        {'role': 'assistant', 'content': '', 'tool_calls': [{'id': 'a', 'name': 'go', 'arguments': '{"x": 1}'}]}, DONE]


@pytest.mark.parametrize(('fields', 'thinking'), [
    ({}, None), ({'reasoning_effort': 'none'}, False), ({'reasoning_effort': 'low'}, None),
    ({'chat_template_kwargs': {'enable_thinking': False}}, False),
    ({'chat_template_kwargs': {'enable_thinking': True}}, True)])
def test_thinking_can_be_switched(say: Callable[[str], Served], engine: ScriptedEngine, fields: Any,
                                  thinking: bool | None) -> None:
    assert say('Fine.').chat(**fields).status_code == 200
    assert engine.tokenizer.thinking == [thinking]


def test_a_model_that_never_thinks_need_not_be_told(served: Served, engine: ScriptedEngine) -> None:
    assert served.chat(reasoning_effort='none').status_code == 200
    assert engine.tokenizer.thinking == [None]


def function(**fields: Any) -> list[dict[str, Any]]:
    return [{'type': 'function', 'function': fields}]


@pytest.mark.parametrize(('fields', 'param'), [
    ({'tools': [5]}, 'tools[0]'), ({'tools': [{'type': 'robot'}]}, 'tools[0].type'),
    ({'tools': function()}, 'tools[0].function.name'), ({'tools': function(name='a b')}, 'tools[0].function.name'),
    ({'tools': TOOLS * 2}, 'tools[1].function.name'), ({'tools': TOOLS * 200}, 'tools'), ({'tools': 'go'}, 'tools'),
    ({'tools': function(name='go', parameters={'type': 'array'})}, 'tools[0].function.parameters.type'),
    ({'tools': function(name='go', parameters={'properties': {'x': {'type': 'robot'}}})},
     'tools[0].function.parameters'),
    ({'tool_choice': 'required'}, 'tool_choice'), ({'tools': TOOLS, 'tool_choice': 'fly'}, 'tool_choice'),
    ({'tools': TOOLS, 'tool_choice': {'type': 'function', 'function': {'name': 'fly'}}}, 'tool_choice'),
    ({'tools': TOOLS, 'tool_choice': {'type': 'function', 'function': {'name': 'none'}}}, 'tool_choice'),
    ({'tools': TOOLS, 'tool_choice': {'type': 'function'}}, 'tool_choice'), ({'tool_choice': 5}, 'tool_choice'),
    ({'parallel_tool_calls': 'yes'}, 'parallel_tool_calls'),
    ({'messages': [*HELLO, DONE]}, 'messages[1].tool_call_id'),
    ({'messages': [*HELLO, {'role': 'tool', 'content': 'x'}]}, 'messages[1].tool_call_id'),
    ({'messages': [DONE, ASKED]}, 'messages[0].tool_call_id'),
    ({'messages': [{**ASKED, 'role': 'user'}]}, 'messages[0].tool_calls'),
    ({'messages': [{'role': 'assistant', 'tool_calls': [{}]}]}, 'messages[0].tool_calls[0].function'),
    ({'messages': [{'role': 'assistant', 'tool_calls': [{'function': {'name': 'go', 'arguments': {}}}]}]},
     'messages[0].tool_calls[0].function.arguments'),
    ({'messages': [{'role': 'function', 'content': 'x'}]}, 'messages[0].role'),
    ({'chat_template_kwargs': {'enable_thinking': 'yes'}}, 'chat_template_kwargs.enable_thinking')])
def test_what_is_wrong_is_named(served: Served, fields: Any, param: str) -> None:
    response = served.chat(**fields)
    assert response.status_code == 400 and error(response)['param'] == param


def test_openai_gets_calls(say: Callable[[str], Served]) -> None:
    client = openai.OpenAI(base_url=f'{say(ANSWER).url}/v1', api_key='none', max_retries=0)
    with client.chat.completions.stream(model='scripted', messages=HELLO, tools=TOOLS) as stream:  # type: ignore
        answer = stream.get_final_completion()
    calls = answer.choices[0].message.tool_calls or []
    assert [json.loads(call.function.arguments) for call in calls] == [{'x': 1}] * 2


def test_ollama_gets_calls_and_thoughts(say: Callable[[str], Served]) -> None:
    client = ollama.Client(say(ANSWER).url)
    pieces = [piece.message for piece in client.chat('scripted', HELLO, tools=TOOLS, stream=True)]
    assert ''.join(message.thinking or '' for message in pieces) == 'I must.'
    calls = [call.function for message in pieces for call in message.tool_calls or ()]
    assert [(call.name, call.arguments) for call in calls] == [('go', {'x': 1})] * 2


def test_ollama_sends_results(say: Callable[[str], Served], engine: ScriptedEngine) -> None:
    served = say('Fine.')
    asked = {'role': 'assistant', 'tool_calls': [{'function': {'name': name, 'arguments': {}}} for name in ('a', 'b')]}
    results = [{'role': 'tool', 'content': name, 'tool_name': name} for name in ('b', 'a')]
    answer = served.client.post('/api/chat', json={'messages': [*HELLO, asked, *results], 'stream': False})
    assert answer.json()['message']['content'] == 'Fine.'
    ids = [call['id'] for call in engine.dialogues[0][1]['tool_calls']]
    assert [message['tool_call_id'] for message in engine.dialogues[0][2:]] == [ids[1], ids[0]]
