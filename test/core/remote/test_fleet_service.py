# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A service with backends ends each goal once, whoever ends it, and keeps conversations across backends."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread

from fleet import Fleet
import pytest
from scripted_engine import ScriptedEngine
from scripted_server import answers, events, says_nothing, ScriptedServer, stalls
from talking import Asked
from waiting import wait_for

from tinychat_core.serving.requests import ChatRequest, Refusal
from tinychat_core.serving.results import ErrorCode, Finished, FinishReason, Queued
from tinychat_core.text.tool_calls.tools import tool_use

Start = Callable[..., Fleet]
Serve = Callable[..., ScriptedServer]


def test_a_cancel_closes_the_request(fleet: Start, server: Serve) -> None:
    edge = server(stalls(['Maps ']))
    asked = fleet('edge local', edge).send()
    asked.await_text()
    assert asked.handle.cancel()
    result = asked.result()
    assert (result.finish_reason, result.text, result.served_by) == (FinishReason.CANCELED, 'Maps ', 'edge')
    wait_for(edge.closed_by_client.is_set)
    assert not asked.handle.cancel()
    assert sum(isinstance(event, Finished) for event in asked.events) == 1


@pytest.mark.parametrize('order', ['edge local', 'local edge'])
def test_a_cancel_before_the_first_token(fleet: Start, server: Serve, engine: ScriptedEngine, order: str) -> None:
    engine.stands_at = 0
    started = fleet(order, server(says_nothing))
    asked = started.send()
    wait_for(lambda: started.service.running)
    assert asked.handle.cancel() and asked.result().finish_reason is FinishReason.CANCELED
    wait_for(lambda: not started.service._scheduler.running)


def test_a_time_limit_holds_whoever_answers(fleet: Start, server: Serve, engine: ScriptedEngine) -> None:
    engine.stands_at = 0
    started = fleet('edge local', server(says_nothing), remote={'first_token_timeout': 0.2})
    result = started.ask(time_limit=0.6)
    assert (result.finish_reason, result.error_code) == (FinishReason.ABORTED, ErrorCode.TIME_LIMIT)


def test_stop_ends_what_runs_and_waits(fleet: Start, server: Serve) -> None:
    started = fleet('edge local', server(stalls(['Maps '])))
    running = started.send(conversation_id='a')
    running.await_text()
    waiting = started.send(conversation_id='a')
    wait_for(lambda: waiting.events)
    assert waiting.events == [Queued(1)] and started.service.waiting == 1
    started.service.stop('the end')
    assert [asked.result().error_code for asked in (running, waiting)] == [ErrorCode.DEACTIVATED] * 2
    with pytest.raises(Refusal, match='inactive'):
        started.send()
    started.service.open()
    assert started.send().handle.cancel()


def test_what_runs_may_finish(fleet: Start, server: Serve) -> None:
    started = fleet('edge local', server(answers(between=0.1)))
    asked = started.send()
    asked.await_text()
    thread = Thread(target=started.service.stop, args=('the end', True))
    thread.start()
    thread.join()
    assert asked.result().finish_reason is FinishReason.STOP


def test_a_goal_that_was_accepted_and_comes_too_late(fleet: Start, server: Serve) -> None:
    started = fleet('edge local', server())
    started.service.stop('the end')
    late = Asked(started.service, ChatRequest(prompt='Hello'), is_accepted=True)
    assert late.result().error_code is ErrorCode.DEACTIVATED


def test_a_conversation_goes_on_across_backends(fleet: Start, server: Serve, engine: ScriptedEngine) -> None:
    edge = server()
    started = fleet('edge local', edge)
    assert started.ask('One', conversation_id='a', system_prompt='Be short.').served_by == 'edge'
    assert started.ask('Two', conversation_id='a', local_only=True).served_by == 'local'
    assert started.ask('Three', conversation_id='a').served_by == 'edge'
    turns = ['Be short.', 'One', 'Maps help robots.', 'Two']
    assert [message['content'] for message in engine.dialogues[-1]] == turns
    assert [message['content'] for message in edge.requests[-1]['messages']] == [
        *turns, 'Robots need maps.', 'Three']


def test_a_tool_of_a_conversation_is_called_elsewhere_and_its_result_read_here(
        fleet: Start, server: Serve, engine: ScriptedEngine) -> None:
    call = {'index': 0, 'id': 'a', 'function': {'name': 'stop', 'arguments': '{}'}}
    started = fleet('edge local', server(events({'tool_calls': [call]}, reason='tool_calls')))
    tools = tool_use([{'function': {'name': 'stop'}}])
    result = started.ask('Stop', conversation_id='a', tools=tools)
    assert (result.served_by, [each.name for each in result.tool_calls]) == ('edge', ['stop'])
    done = {'role': 'tool', 'content': 'done', 'tool_call_id': 'a'}
    assert started.ask(messages=[done], conversation_id='a', local_only=True).served_by == 'local'
    assert [message['role'] for message in engine.dialogues[-1]] == ['user', 'assistant', 'tool']
    assert engine.dialogues[-1][1]['tool_calls'][0]['id'] == 'a'


def test_a_result_of_no_call_is_invalid(fleet: Start, server: Serve) -> None:
    done = {'role': 'tool', 'content': 'done', 'tool_call_id': 'a'}
    assert fleet('edge', server()).ask(messages=[done], conversation_id='a').error_code is ErrorCode.INVALID_GOAL


def test_goals_of_a_conversation_run_one_after_another(fleet: Start, server: Serve) -> None:
    edge = server(answers(between=0.05))
    started = fleet('edge local', edge)
    asked = [started.send(name, conversation_id='a') for name in ('One', 'Two', 'Three')]
    assert all(each.result().finish_reason is FinishReason.STOP for each in asked)
    assert [len(body['messages']) for body in edge.requests] == [1, 3, 5]
    assert not started.service._talks
    assert len({headers['x-session-id'] for headers in edge.headers}) == 1


def test_goals_of_no_conversation_run_side_by_side(fleet: Start, server: Serve) -> None:
    edge = server(stalls(['Maps ']))
    started = fleet('edge local', edge)
    asked = [started.send() for _ in range(3)]
    for each in asked:
        each.await_text()
    assert len(started.service.running) == 3


def test_sentences_are_made_of_a_remote_answer(fleet: Start, server: Serve) -> None:
    asked = fleet('edge local', server(answers(['One. ', 'Two.']))).send(wants_sentences=True)
    asked.result()
    assert [sentence for delta in asked.deltas() for sentence in delta.sentences] == ['One.', 'Two.']


def test_metrics_count_every_backend(fleet: Start, server: Serve) -> None:
    started = fleet('edge local', server())
    started.ask()
    started.ask(local_only=True)
    assert started.service.metrics.answers == 2
    assert started.service.backend_status()[0].answers == 1


def test_a_listener_that_fails_does_not_end_the_others(fleet: Start, server: Serve) -> None:
    started = fleet('edge local', server())

    def fail(event: object) -> None:
        raise RuntimeError('a defect')

    handle = started.service.submit(ChatRequest(prompt='Hello'), fail)
    assert handle.wait(30) is not None and started.ask().served_by == 'edge'
