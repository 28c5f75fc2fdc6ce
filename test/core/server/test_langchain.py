# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""LangChain's client, through which robot agents (RAI, ROSA) ask."""

from __future__ import annotations

from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_ollama import ChatOllama
from langchain_openai import ChatOpenAI
from pydantic import BaseModel
import pytest
from scripted_engine import EOS, ScriptedEngine
from serving_http import Served
from test_tool_calls import CALL, Calling

pytestmark = pytest.mark.large


@pytest.fixture
def client(served: Served) -> ChatOpenAI:
    return ChatOpenAI(base_url=f'{served.url}/v1', api_key='none', model='scripted', max_retries=0)  # type: ignore


def test_it_answers_and_streams(client: ChatOpenAI) -> None:
    answer = client.invoke('Hello')
    assert answer.content == 'Robots need maps.' and answer.usage_metadata['total_tokens'] == 12  # type: ignore
    assert ''.join(str(chunk.content) for chunk in client.stream('Hello')) == 'Robots need maps.'


def test_it_parses_structured_outputs(client: ChatOpenAI, engine: ScriptedEngine) -> None:
    class Move(BaseModel):
        n: int

    engine.words = [*'{"n": 1}']  # tokens are letters
    assert client.with_structured_output(Move, method='json_schema').invoke('Hello') == Move(n=1)


def test_ollamas_client_answers_and_streams(served: Served) -> None:
    client = ChatOllama(base_url=served.url, model='scripted')
    assert client.invoke('Hello').content == 'Robots need maps.'
    assert ''.join(str(chunk.content) for chunk in client.stream('Hello')) == 'Robots need maps.'


@pytest.mark.parametrize('kind', ['openai', 'ollama'])
def test_tools_are_called_and_their_results_are_answered(served: Served, engine: ScriptedEngine, client: ChatOpenAI,
                                                         kind: str) -> None:
    @tool
    def go(x: int) -> str:
        """Go somewhere."""
        return f'I am at {x}.'

    engine.script = [*CALL.encode(), EOS, *b'Done.', EOS]
    engine.vocab_size = 257
    engine.tokenizer = Calling()
    model = (client if kind == 'openai' else ChatOllama(base_url=served.url, model='scripted')).bind_tools([go])
    question = HumanMessage('Go to 1.')
    answer = model.invoke([question])
    (call,) = answer.tool_calls  # type: ignore[attr-defined]
    assert (call['name'], call['args']) == ('go', {'x': 1})
    assert model.invoke([question, answer, go.invoke(call)]).content == 'Done.'
    assert engine.dialogues[-1][-1]['content'] == 'I am at 1.'
