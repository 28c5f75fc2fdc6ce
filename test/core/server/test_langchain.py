# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""LangChain's client, through which robot agents (RAI, ROSA) ask."""

from __future__ import annotations

from langchain_openai import ChatOpenAI
from pydantic import BaseModel
import pytest
from scripted_engine import ScriptedEngine
from serving_http import Served

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
