# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Server-sent events: chunks of an answer, what ends them, and errors within."""

from __future__ import annotations

import json
import socket

import pytest
from scripted_engine import ScriptedEngine
from serving_http import error, HELLO, Served

from tinychat_core.server import answer
from tinychat_core.server.http_server import _bound


def test_chunks_make_the_answer(served: Served) -> None:
    events = served.events()
    assert {event['object'] for event in events} == {'chat.completion.chunk'}
    assert len({event['id'] for event in events}) == 1
    deltas = [event['choices'][0]['delta'] for event in events]
    assert deltas == [{'role': 'assistant', 'content': ''}, {'content': 'Robots '}, {'content': 'need '},
                      {'content': 'maps.'}, {}]
    assert [event['choices'][0]['finish_reason'] for event in events] == [None] * 4 + ['stop']
    assert not any('usage' in event for event in events)


def test_usage_comes_last_where_it_is_wanted(served: Served) -> None:
    *chunks, last = served.events(stream_options={'include_usage': True})
    assert last['choices'] == [] and last['usage']['total_tokens'] == 12
    assert all(chunk['usage'] is None for chunk in chunks)


def test_a_stream_is_not_cached(served: Served) -> None:
    with served.client.stream('POST', '/v1/chat/completions', json={'messages': HELLO, 'stream': True}) as response:
        assert response.headers['content-type'] == 'text/event-stream'
        assert response.headers['cache-control'] == 'no-cache'


def test_the_first_chunk_comes_before_the_answer_is_over(served: Served, engine: ScriptedEngine) -> None:
    engine.words, engine.stands_at = ['word '] * 10, 2
    with served.client.stream('POST', '/v1/chat/completions', json={'messages': HELLO, 'stream': True}) as response:
        lines = (line for line in response.iter_lines() if line)
        first = [json.loads(next(lines)[6:]) for _ in range(3)]
        assert [event['choices'][0]['delta']['content'] for event in first] == ['', 'word ', 'word ']
        engine.stands_at = None
        assert [*lines][-1] == 'data: [DONE]'


def test_an_error_before_the_text_has_its_status(served: Served) -> None:
    response = served.chat(messages=[{'role': 'user', 'content': 'x' * 5000}], stream=True)
    assert response.status_code == 400 and error(response)['code'] == 'context_length_exceeded'


def test_an_error_within_the_text_is_an_event(served: Served, engine: ScriptedEngine) -> None:
    engine.fails_at = 2
    *chunks, last = served.events()
    assert [chunk['choices'][0]['delta']['content'] for chunk in chunks] == ['', 'Robots ', 'need ']
    assert last['error']['type'] == 'server_error' and last['error']['code'] == 'backend_failed'


def test_a_long_prefill_keeps_the_connection_alive(served: Served, engine: ScriptedEngine,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer, 'KEEP_ALIVE', 0.05)
    engine.stands_at = 0
    with served.client.stream('POST', '/v1/chat/completions', json={'messages': HELLO, 'stream': True}) as response:
        lines = (line for line in response.iter_lines() if line)
        assert 'assistant' in next(lines)
        assert next(lines).startswith(':')
        engine.stands_at = None
        assert [*lines][-1] == 'data: [DONE]'


def test_streams_at_once_lose_nothing(served: Served) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        answers = [*pool.map(lambda _: served.events(), range(8))]
    for events in answers:
        assert ''.join(event['choices'][0]['delta'].get('content', '') for event in events) == 'Robots need maps.'


def test_small_pieces_do_not_wait_for_an_acknowledgement() -> None:
    with _bound('127.0.0.1', 0) as listening, socket.create_connection(listening.getsockname()):
        connection, _ = listening.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
