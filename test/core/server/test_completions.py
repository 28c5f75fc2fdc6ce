# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""POST /v1/completions: a text is continued as it is."""

from __future__ import annotations

from typing import Any

import pytest
from scripted_engine import ScriptedEngine
from serving_http import error, Served


@pytest.mark.parametrize('prompt', ['Hi', ['Hi'], [72, 105], [[72, 105]]])
def test_a_text_is_continued_without_the_template(served: Served, engine: ScriptedEngine, prompt: Any) -> None:
    answer = served.client.post('/v1/completions', json={'prompt': prompt}).json()
    assert answer['object'] == 'text_completion'
    assert answer['choices'] == [{'index': 0, 'text': 'Robots need maps.', 'logprobs': None, 'finish_reason': 'stop'}]
    assert engine.prefilled == [[72, 105]] and engine.dialogues == []


def test_a_completion_is_streamed(served: Served) -> None:
    events = served.events('/v1/completions', prompt='Hi', stream_options={'include_usage': True})
    texts = [choice['text'] for event in events for choice in event['choices']]
    assert texts == ['Robots ', 'need ', 'maps.', ''] and events[-1]['usage']['prompt_tokens'] == 2


def test_sixteen_tokens_unless_told_otherwise(served: Served, engine: ScriptedEngine) -> None:
    engine.words = ['word '] * 100
    assert served.client.post('/v1/completions', json={'prompt': 'Hi'}).json()['usage']['completion_tokens'] == 16


@pytest.mark.parametrize(('prompt', 'code'), [
    ('', 'invalid_value'), ([], 'invalid_value'), ([[]], 'invalid_value'), (['a', 'b'], 'unsupported_parameter'),
    ([1, 'a'], 'unsupported_parameter'), ([[1], [2]], 'unsupported_parameter'), ([-1], 'invalid_value'),
    ([10**6], 'invalid_value'), ([10**30], 'invalid_value')])
def test_a_prompt_that_cannot_be_continued(served: Served, prompt: Any, code: str) -> None:
    response = served.client.post('/v1/completions', json={'prompt': prompt})
    assert response.status_code == 400 and error(response)['code'] == code


@pytest.mark.parametrize('field', [{'echo': True}, {'suffix': 'x'}, {'best_of': 2}, {'best_of': 1, 'n': 2}])
def test_what_is_not_served_is_refused_by_name(served: Served, field: dict[str, Any]) -> None:
    response = served.client.post('/v1/completions', json={'prompt': 'Hi', **field})
    assert response.status_code == 400 and error(response)['param'] == next(iter(field))
