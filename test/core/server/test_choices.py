# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""`n`: several choices in the answer to one request."""

from __future__ import annotations

from collections.abc import Callable
import json
from pathlib import Path
from typing import Any

import pytest
from scripted_engine import ScriptedEngine
from serving_http import error, HELLO, Served
from tiny_engine import tiny_engine
from waiting import wait_for

from tinychat_core.serving.request_queue import Admission

TEXT = 'Robots need maps.'


def texts(events: list[dict[str, Any]], count: int) -> list[str]:
    """Return the text of each choice in the events of a stream."""
    whole = [''] * count
    for event in events:
        for choice in event['choices']:
            whole[choice['index']] += choice['delta'].get('content', '') if 'delta' in choice else choice['text']
    return whole


@pytest.mark.parametrize('parallel', [1, 2, 8])
def test_each_choice_is_a_whole_answer(serve: Callable[..., Served], engine: ScriptedEngine, parallel: int) -> None:
    engine.parallel = parallel
    answer = serve().chat(n=3).json()
    assert [choice['index'] for choice in answer['choices']] == [0, 1, 2]
    assert {choice['message']['content'] for choice in answer['choices']} == {TEXT}
    assert {choice['finish_reason'] for choice in answer['choices']} == {'stop'}
    assert answer['usage']['prompt_tokens'] == 8  # the prompt counts once
    assert answer['usage']['completion_tokens'] == 12 and answer['usage']['total_tokens'] == 20


def test_choices_share_forward_passes(serve: Callable[..., Served], engine: ScriptedEngine) -> None:
    engine.parallel, engine.words, engine.delay = 4, ['word '] * 20, 0.01
    serve().chat(n=4)
    assert max(engine.passes) == 4


@pytest.mark.parametrize(('path', 'prompt'), [('chat/completions', {'messages': HELLO}),
                                              ('completions', {'prompt': 'Hi'})])
def test_choices_are_streamed_with_their_index(serve: Callable[..., Served], engine: ScriptedEngine, path: str,
                                               prompt: dict[str, Any]) -> None:
    engine.parallel = 2
    events = serve().events(f'/v1/{path}', n=3, stream_options={'include_usage': True}, **prompt)
    assert texts(events, 3) == [TEXT] * 3
    assert len({event['id'] for event in events}) == 1
    ends = [choice['index'] for event in events for choice in event['choices'] if choice['finish_reason']]
    assert sorted(ends) == [0, 1, 2]
    assert events[-1]['choices'] == [] and events[-1]['usage']['completion_tokens'] == 12
    assert all(event['usage'] is None for event in events[:-1])


@pytest.mark.parametrize('is_streamed', [False, True])
def test_each_choice_has_its_own_log_probabilities(served: Served, is_streamed: bool) -> None:
    body = {'prompt': 'Hi', 'n': 2, 'logprobs': 0}
    if is_streamed:
        events = served.events('/v1/completions', **body)
    else:
        events = [served.client.post('/v1/completions', json=body).json()]
    offsets: list[list[int]] = [[], []]
    for event in events:
        for choice in event['choices']:
            offsets[choice['index']] += (choice['logprobs'] or {}).get('text_offset', [])
    assert offsets == [[0, 7, 12, 17]] * 2


@pytest.mark.parametrize(('seed', 'seeds'), [(5, [5, 6, 7]), (2**63 - 1, [2**63 - 1, 0, 1]), (None, [None] * 3)])
def test_each_choice_has_the_next_seed(served: Served, monkeypatch: pytest.MonkeyPatch, seed: int | None,
                                       seeds: list[int | None]) -> None:
    requests = []
    submit = served.service.submit
    monkeypatch.setattr(served.service, 'submit', lambda request, *more, **others: [
        requests.append(request), submit(request, *more, **others)][1])
    assert served.chat(n=3, seed=seed).status_code == 200
    assert [request.params.seed for request in requests] == seeds


def test_a_choice_is_the_answer_with_its_seed(tmp_path: Path) -> None:
    engine: Any = tiny_engine(tmp_path)
    served = Served(engine)
    try:
        def drawn(**fields: Any) -> list[str]:
            body = {'prompt': [1, 2, 3], 'max_tokens': 8, 'temperature': 1.0, **fields}
            choices = served.client.post('/v1/completions', json=body).json()['choices']
            return [choice['text'] for choice in choices]

        alone = [drawn(seed=seed)[0] for seed in (20, 21, 22)]
        assert drawn(seed=20, n=3) == alone and len({*alone}) > 1
        assert len({*drawn(n=8)}) > 1
        assert len({*drawn(n=3, temperature=0.0)}) == 1
    finally:
        served.close()


@pytest.mark.parametrize('admission', [Admission('preempt'), Admission('reject'), Admission('queue', 1)])
def test_choices_wait_for_each_other(served: Served, admission: Admission) -> None:
    served.admission = admission
    answer = served.chat(n=4).json()
    assert [choice['message']['content'] for choice in answer['choices']] == [TEXT] * 4


def test_the_service_may_refuse_a_request_with_choices(served: Served, engine: ScriptedEngine) -> None:
    served.admission, engine.stands_at = Admission('reject'), 1
    first = served.chat_beside()
    refused = served.chat(n=2)
    assert refused.status_code == 429 and served.service.waiting == 0
    engine.stands_at = None
    assert first.result().status_code == 200


@pytest.mark.parametrize('is_streamed', [False, True])
def test_a_choice_that_fails_ends_the_others(served: Served, engine: ScriptedEngine, is_streamed: bool) -> None:
    engine.fails_at = 2
    if is_streamed:
        assert served.events(n=4)[-1]['error']['code'] == 'backend_failed'
    else:
        response = served.chat(n=4)
        assert response.status_code == 500 and error(response)['code'] == 'backend_failed'
    wait_for(lambda: not served.service.running and not served.service.waiting)


def test_a_client_that_disconnects_cancels_all_choices(serve: Callable[..., Served], engine: ScriptedEngine) -> None:
    engine.parallel, engine.stands_at, engine.is_endless = 2, 1, True
    served = serve()
    with served.client.stream('POST', '/v1/chat/completions', json={'messages': HELLO, 'n': 4,
                                                                    'stream': True}) as response:
        lines = (line for line in response.iter_lines() if line)
        assert json.loads(next(lines)[6:])['choices'][0]['index'] == 0
        assert len(served.service.running) == 2 and served.service.waiting == 2
    wait_for(lambda: not served.service.running and not served.service.waiting)
