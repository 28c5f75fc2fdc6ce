# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The clients that people use, as they use them."""

from __future__ import annotations

import asyncio

import ollama
import openai
from pydantic import BaseModel
import pytest
from scripted_engine import EOS, ScriptedEngine
from serving_http import HELLO, Served
from test_tool_calls import CALL, Calling


@pytest.fixture
def client(served: Served) -> openai.OpenAI:
    return openai.OpenAI(base_url=f'{served.url}/v1', api_key='none', max_retries=0)


def test_openai_answers_and_streams(client: openai.OpenAI) -> None:
    model = client.models.list().data[0].id
    answer = client.chat.completions.create(model=model, messages=HELLO, max_tokens=10)  # type: ignore[call-overload]
    assert answer.choices[0].message.content == 'Robots need maps.' and answer.usage.total_tokens == 12
    stream = client.chat.completions.create(model=model, messages=HELLO, stream=True,  # type: ignore[call-overload]
                                            stream_options={'include_usage': True})
    chunks = [*stream]
    assert ''.join(chunk.choices[0].delta.content or '' for chunk in chunks[:-1]) == 'Robots need maps.'
    assert chunks[-1].usage.completion_tokens == 4
    assert client.completions.create(model=model, prompt='Hi').choices[0].text == 'Robots need maps.'


def test_openai_parses_structured_outputs(client: openai.OpenAI, engine: ScriptedEngine) -> None:
    class Move(BaseModel):
        n: int

    engine.words = [*'{"n": 1}']  # tokens are letters
    answer = client.chat.completions.parse(model='scripted', messages=HELLO,  # type: ignore[arg-type]
                                           response_format=Move)
    assert answer.choices[0].message.parsed == Move(n=1)


def test_openai_streams_structured_outputs(client: openai.OpenAI, engine: ScriptedEngine) -> None:
    class Move(BaseModel):
        n: int

    engine.words = [*'{"n": 1}']
    with client.chat.completions.stream(model='scripted', messages=HELLO,  # type: ignore[arg-type]
                                        response_format=Move) as stream:
        kinds = {event.type for event in stream}
        assert stream.get_final_completion().choices[0].message.parsed == Move(n=1)
    assert {'chunk', 'content.delta', 'content.done'} <= kinds


def test_openai_parses_calls_of_pydantic_tools(client: openai.OpenAI, engine: ScriptedEngine) -> None:
    class Go(BaseModel):
        x: int

    engine.script = [*CALL.encode(), EOS] * 2
    engine.vocab_size, engine.tokenizer = 257, Calling()
    tools = [openai.pydantic_function_tool(Go, name='go')]
    answer = client.chat.completions.parse(model='scripted', messages=HELLO, tools=tools)  # type: ignore[arg-type]
    (call,) = answer.choices[0].message.tool_calls or ()
    assert call.function.parsed_arguments == Go(x=1)
    with client.chat.completions.stream(model='scripted', messages=HELLO, tools=tools) as stream:  # type: ignore
        done = [event for event in stream if event.type == 'tool_calls.function.arguments.done']
    assert [event.parsed_arguments for event in done] == [Go(x=1)]


def test_openai_asks_several_at_once(served: Served) -> None:
    async def ask() -> tuple[list[str], str, str]:
        async with openai.AsyncOpenAI(base_url=f'{served.url}/v1', api_key='none', max_retries=0) as client:
            fields = {'model': (await client.models.list()).data[0].id, 'messages': HELLO}
            answers = await asyncio.gather(*(client.chat.completions.create(**fields) for _ in range(4)))
            stream = await client.chat.completions.create(**fields, stream=True)
            text = ''.join([chunk.choices[0].delta.content or '' async for chunk in stream])
            async with client.chat.completions.stream(**fields) as events:
                final = await events.get_final_completion()
            return [answer.choices[0].message.content for answer in answers], text, final.choices[0].message.content

    assert asyncio.run(ask()) == (['Robots need maps.'] * 4, 'Robots need maps.', 'Robots need maps.')


def test_openai_sends_what_it_sends(client: openai.OpenAI) -> None:
    """Every field that a local server has to accept, and some that it ignores."""
    answer = client.chat.completions.create(
        model='scripted', messages=HELLO, max_completion_tokens=9, stop=['xyz'], seed=-5, temperature=0.0,  # type: ignore
        top_p=0.9, frequency_penalty=0.5, presence_penalty=-0.5, logit_bias={'7': 1}, logprobs=True, top_logprobs=2,
        n=1, response_format={'type': 'text'}, user='me', metadata={'a': 'b'}, store=False, service_tier='auto',
        parallel_tool_calls=True, reasoning_effort='none', verbosity='low', prompt_cache_key='x',
        extra_body={'top_k': 5, 'min_p': 0.0, 'repetition_penalty': 1.0, 'chat_template_kwargs': {}})
    assert answer.choices[0].message.content == 'Robots need maps.'


def test_openai_gets_typed_errors(client: openai.OpenAI, served: Served) -> None:
    with pytest.raises(openai.NotFoundError, match="'other' is not served"):
        client.chat.completions.create(model='other', messages=HELLO)  # type: ignore[call-overload]
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model='scripted', messages=HELLO, n=99)  # type: ignore[call-overload]
    assert refused.value.param == 'n' and refused.value.code == 'invalid_value'
    served.service.stop('a break')
    with pytest.raises(openai.InternalServerError, match='no requests are accepted'):
        client.chat.completions.create(model='scripted', messages=HELLO)  # type: ignore[call-overload]


def test_openai_hears_of_an_error_within_a_stream(client: openai.OpenAI, engine: ScriptedEngine) -> None:
    engine.fails_at = 2
    with pytest.raises(openai.APIError, match='backend failed'):
        for _ in client.chat.completions.create(model='scripted', messages=HELLO, stream=True):  # type: ignore
            pass


def test_ollama_answers_and_streams(served: Served) -> None:
    client = ollama.Client(served.url)
    assert client.list().models[0].model == 'scripted'
    assert client.show('scripted').details.family == 'llama'
    assert client.chat('scripted', HELLO).message.content == 'Robots need maps.'
    pieces = [*client.chat('scripted', HELLO, stream=True)]
    assert ''.join(piece.message.content or '' for piece in pieces) == 'Robots need maps.' and pieces[-1].done
    assert client.generate('scripted', 'Hi').response == 'Robots need maps.'
    assert client.generate('scripted', '').done_reason == 'load'
    with pytest.raises(ollama.ResponseError, match='is not served') as refused:
        client.chat('other', HELLO)
    assert refused.value.status_code == 404
