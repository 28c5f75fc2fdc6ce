# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What a request meets while others run, and what ends it."""

from __future__ import annotations

import httpx
import pytest
from scripted_engine import ScriptedEngine
from serving_http import error, HELLO, Served
from waiting import wait_for

from tinychat_core.sampling import SamplingParams
from tinychat_core.server.served_model import Defaults
from tinychat_core.serving.request_queue import Admission

BODY = {'messages': HELLO}


@pytest.mark.parametrize('stream', [False, True])
@pytest.mark.parametrize('stands_at', [0, 2])
def test_a_disconnect_cancels(served: Served, engine: ScriptedEngine, stream: bool, stands_at: int) -> None:
    """In a prefill, too, and where no answer has begun."""
    engine.words, engine.stands_at = ['word '] * 100, stands_at
    with httpx.Client(base_url=served.url, timeout=0.3) as client, pytest.raises(httpx.TimeoutException):
        client.post('/v1/chat/completions', json={**BODY, 'stream': stream})
    served.await_idle()


def test_a_disconnect_takes_a_request_out_of_the_queue(served: Served, engine: ScriptedEngine) -> None:
    engine.stands_at = 0
    served.chat_beside()
    with httpx.Client(base_url=served.url, timeout=0.3) as client, pytest.raises(httpx.TimeoutException):
        client.post('/v1/chat/completions', json=BODY)
    wait_for(lambda: not served.service.waiting)
    assert len(served.service.running) == 1


@pytest.mark.parametrize('admission', [Admission('queue', 0), Admission('reject')])
def test_a_full_queue_is_429(served: Served, engine: ScriptedEngine, admission: Admission) -> None:
    engine.stands_at = 0
    served.chat_beside()
    served.admission = admission
    for stream in (False, True):
        response = served.chat(stream=stream)
        assert response.status_code == 429 and int(response.headers['retry-after']) > 0
        assert error(response)['type'] == 'rate_limit_error'
    response = served.client.post('/api/chat', json=BODY)
    assert response.status_code == 429 and isinstance(response.json()['error'], str)


def test_a_preempted_request_is_503(served: Served, engine: ScriptedEngine) -> None:
    engine.stands_at = 0
    first = served.chat_beside()
    served.admission = Admission('preempt')
    second = served.beside.submit(served.chat)
    assert first.result().status_code == 503 and error(first.result())['code'] == 'preempted'
    engine.stands_at = None
    assert second.result().status_code == 200


def test_a_service_that_is_closed_is_503(served: Served) -> None:
    served.service.stop('a break')
    response = served.chat()
    assert response.status_code == 503 and error(response)['code'] == 'inactive'
    assert served.client.get('/health').status_code == 503


def test_what_runs_when_the_service_stops_gets_an_error(served: Served, engine: ScriptedEngine) -> None:
    engine.stands_at = 0
    asked = served.chat_beside()
    served.service.stop('the node was deactivated')
    assert asked.result().status_code == 503 and error(asked.result())['message'] == 'the node was deactivated'


def test_the_time_limit_is_504(served: Served, engine: ScriptedEngine) -> None:
    engine.stands_at = 0
    served.defaults = Defaults(SamplingParams(), time_limit=0.1)
    response = served.chat()
    assert response.status_code == 504 and error(response)['code'] == 'time_limit'
