# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The policies hedge and offload, and what the breaker and the probes change."""

from __future__ import annotations

from collections.abc import Callable

from fleet import Fleet
import pytest
from scripted_engine import ScriptedEngine
from scripted_server import answers, models, refuses, says_nothing, ScriptedServer, stalls
from waiting import wait_for

from tinychat_core.serving.results import ErrorCode

Start = Callable[..., Fleet]
Serve = Callable[..., ScriptedServer]


def test_hedging_asks_the_next_one_after_the_delay(fleet: Start, server: Serve) -> None:
    edge, other = server(says_nothing), server()
    result = fleet('edge other', edge, other, policy='hedge', hedge_delay=0.05).ask()
    assert result.served_by == 'other'
    wait_for(edge.closed_by_client.is_set)


def test_hedging_asks_nobody_else_where_the_first_is_fast(fleet: Start, server: Serve) -> None:
    other = server()
    result = fleet('edge other', server(), other, policy='hedge', hedge_delay=60.0).ask()
    assert result.served_by == 'edge' and not other.requests


def test_the_first_one_may_still_win(fleet: Start, server: Serve) -> None:
    edge, other = server(answers(before=0.3)), server(says_nothing)
    result = fleet('edge other', edge, other, policy='hedge', hedge_delay=0.0).ask()
    assert result.served_by == 'edge'
    wait_for(other.closed_by_client.is_set)


def test_a_failure_does_not_wait_for_the_delay(fleet: Start, server: Serve) -> None:
    started = fleet('edge other', server(refuses(500)), server(), policy='hedge', hedge_delay=60.0)
    assert started.ask().served_by == 'other'


def test_hedging_with_the_local_model(fleet: Start, server: Serve, engine: ScriptedEngine) -> None:
    engine.stands_at = 0
    started = fleet('local edge', server(), policy='hedge', hedge_delay=0.05)
    result = started.ask(conversation_id='a')
    assert result.served_by == 'edge'
    engine.stands_at = None
    wait_for(lambda: not started.service._scheduler.running)  # the loser was canceled
    assert started.ask('And?', conversation_id='a', local_only=True).served_by == 'local'
    assert [message['content'] for message in engine.dialogues[-1]] == ['Hello', 'Maps help robots.', 'And?']


def test_goals_are_offloaded_where_the_local_queue_is_long(fleet: Start, server: Serve, engine: ScriptedEngine) -> None:
    started = fleet('local edge', server(), policy='offload', offload_queue=1)
    engine.stands_at = 0
    waiting = [started.send() for _ in range(3)]
    wait_for(lambda: started.service._scheduler.waiting == 2)
    assert started.ask().served_by == 'edge'
    engine.stands_at = None
    assert [asked.result().served_by for asked in waiting] == ['local'] * 3


def test_a_failing_server_is_left_alone_until_a_probe(fleet: Start, server: Serve) -> None:
    edge = server(refuses(500))
    edge.on_get = refuses(500)
    started = fleet('edge local', edge, remote={'probe_period': 0.05})
    wait_for(lambda: started.state('edge') == 'failing' and started.service.backends == ['local'])
    assert started.ask().served_by == 'local' and not edge.requests
    edge.on_get, edge.behaviours = models('small'), [answers()]
    wait_for(lambda: started.service.backends == ['edge', 'local'])
    assert started.ask().served_by == 'edge'
    assert started.changes >= 2


def test_a_server_with_another_model_is_seen_at_start(fleet: Start, server: Serve) -> None:
    edge = server()
    edge.on_get = models('large', 'huge')
    started = fleet('edge local', edge)
    wait_for(lambda: started.state('edge') == 'failing')
    assert "has no model 'small', but 'large', 'huge'" in started.service.backend_status()[0].last_error


def test_a_server_without_a_list_of_models_is_asked(fleet: Start, server: Serve) -> None:
    edge = server()
    edge.on_get = refuses(404)
    started = fleet('edge local', edge)
    wait_for(lambda: edge.gets)
    assert started.ask().served_by == 'edge'


def test_a_busy_server_is_left_alone_as_long_as_it_asks(fleet: Start, server: Serve) -> None:
    edge = server(refuses(429, retry_after='30'), answers())
    started = fleet('edge local', edge)
    assert [started.ask().served_by for _ in range(2)] == ['local', 'local']
    assert len(edge.requests) == 1 and started.state('edge') == 'busy'


def test_the_key_is_sent(fleet: Start, server: Serve) -> None:
    edge = server()
    fleet('edge local', edge, remote={'api_key': 'secret'}).ask()
    assert edge.headers[0]['authorization'] == 'Bearer secret'


@pytest.mark.parametrize('order', ['edge local', 'edge'])
def test_a_stalled_stream_counts_as_a_failure(fleet: Start, server: Serve, order: str) -> None:
    started = fleet(order, server(stalls(['Maps '])), remote={'stall_timeout': 0.1})
    for _ in range(3):
        assert started.ask().error_code is ErrorCode.REMOTE_FAILED
    assert started.service.backend_status()[0].failures == 3
