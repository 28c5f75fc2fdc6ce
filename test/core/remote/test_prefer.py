# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The policy prefer: the first backend that can answer does; after its first token, no other one is asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
import ssl
import subprocess
from typing import Any

from fleet import Fleet
import pytest
from scripted_engine import ScriptedEngine
from scripted_server import (
    answers,
    Behaviour,
    cuts,
    ends_early,
    events,
    keeps_alive,
    refuses,
    says_nothing,
    ScriptedServer,
    stalls,
    streams_raw,
)
from waiting import wait_for

from tinychat_core.sampling import SamplingParams
from tinychat_core.serving.requests import Refusal
from tinychat_core.serving.results import ErrorCode, Finished, FinishReason, Prefill, Queued, TextDelta
from tinychat_core.text.tool_calls.tools import tool_use

LOCAL_TEXT = 'Robots need maps.'
REMOTE_TEXT = 'Maps help robots.'
Start = Callable[..., Fleet]
Serve = Callable[..., ScriptedServer]

# Each fails before the first token.
FAULTS: dict[str, Behaviour] = {
    'no status': says_nothing,
    'no token': stalls(),
    'comments alone': keeps_alive,
    'reset': cuts(),
    'end': ends_early(),
    '429': refuses(429),
    '429 with a date': refuses(429, retry_after='Wed, 21 Oct 2026 07:28:00 GMT'),
    '500': refuses(500),
    '503': refuses(503, retry_after='1'),
    '400': refuses(400, 'context_length_exceeded'),
    '401': refuses(401),
    '404': refuses(404),
    'redirect': refuses(307, location='http://127.0.0.1:1/'),
    'a page': lambda handler: handler.reply(200, '<html>', 'text/html'),
    'garbage': streams_raw(b'data: {"choices": [{"delta": \xff\n\n'),
    'other JSON': streams_raw(b'data: [1, 2]\n\n'),
    'no stream at all': streams_raw(b'\x00' * 1000),
    'endless line': streams_raw(b'data: ' + b'a' * (3 << 20)),
    'error event': streams_raw(b'data: {"error": {"message": "no memory"}}\n\n'),
    'compressed': lambda handler: handler.reply(200, b'\x1f\x8b', 'text/event-stream', content_encoding='gzip'),
    'an unknown tool': streams_raw(b'data: {"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"name": '
                                   b'"rm", "arguments": "{}"}}]}, "finish_reason": "tool_calls"}]}\n\n'),
}


def test_the_first_backend_answers(fleet: Start, server: Serve) -> None:
    asked = fleet('edge local', server()).send()
    result = asked.result()
    assert (result.text, result.finish_reason, result.served_by) == (REMOTE_TEXT, FinishReason.STOP, 'edge')
    assert (result.prompt_tokens, result.new_tokens) == (11, 3)
    assert ''.join(delta.text for delta in asked.deltas()) == REMOTE_TEXT
    assert [type(event) for event in asked.events[:2]] == [Prefill, TextDelta]


def test_the_local_model_answers_where_it_is_first(fleet: Start, server: Serve) -> None:
    edge = server()
    result = fleet('local edge', edge).ask()
    assert (result.text, result.served_by, edge.requests) == (LOCAL_TEXT, 'local', [])


@pytest.mark.parametrize('fault', FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_before_the_first_token_leaves_the_goal_to_the_next(fleet: Start, server: Serve,
                                                                   fault: Behaviour) -> None:
    asked = fleet('edge local', server(fault), remote={'first_token_timeout': 0.5}).send()
    result = asked.result()
    assert (result.text, result.finish_reason, result.served_by) == (LOCAL_TEXT, FinishReason.STOP, 'local')
    assert sum(isinstance(event, Finished) for event in asked.events) == 1


def test_nobody_listens(fleet: Start) -> None:
    assert fleet('edge local', 'http://127.0.0.1:1/v1').ask().served_by == 'local'


def test_a_certificate_that_nobody_trusts(fleet: Start, server: Serve, tmp_path: Path) -> None:
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes',
                    '-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', 'key.pem',
                    '-out', 'certificate.pem'], cwd=tmp_path, check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / 'certificate.pem', tmp_path / 'key.pem')
    started = fleet('edge local', server(tls=tls))
    assert started.ask().served_by == 'local'
    assert 'certificate' in started.service.backend_status()[0].last_error


@pytest.mark.parametrize('fault', [stalls(['Maps ']), cuts(['Maps ']), ends_early(['Maps ']),
                                   streams_raw(b'data: {"choices":[{"delta":{"content":"Maps "}}]}\n\ndata: }\n\n')],
                         ids=['stalled', 'reset', 'ended', 'garbage'])
def test_a_stream_that_breaks_ends_the_goal_with_its_text(fleet: Start, server: Serve, engine: ScriptedEngine,
                                                          fault: Behaviour) -> None:
    edge, other = server(fault), server()
    asked = fleet('edge other local', edge, other, remote={'stall_timeout': 0.5}).send()
    result = asked.result()
    assert (result.finish_reason, result.error_code) == (FinishReason.ABORTED, ErrorCode.REMOTE_FAILED)
    assert (result.text, result.new_tokens, result.served_by) == ('Maps ', 1, 'edge')
    assert result.error_message.startswith('edge ')
    assert not other.requests and not engine.prefilled
    assert sum(isinstance(event, Finished) for event in asked.events) == 1


def test_a_broken_answer_goes_on_locally(fleet: Start, server: Serve, engine: ScriptedEngine) -> None:
    started = fleet('edge local', server(cuts(['Maps '])), continue_locally=True)
    asked = started.send(params=SamplingParams(max_new_tokens=10))
    result = asked.result()
    assert (result.text, result.finish_reason, result.served_by) == (f'Maps {LOCAL_TEXT}', FinishReason.STOP, 'local')
    assert engine.dialogues[-1] == [{'role': 'user', 'content': 'Hello'}, {'role': 'assistant', 'content': 'Maps '}]
    assert result.new_tokens == 1 + 4
    assert [delta.index for delta in asked.deltas()] == [*range(len(asked.deltas()))]
    assert ''.join(delta.text for delta in asked.deltas()) == result.text


def test_the_length_of_a_continued_answer_is_that_of_the_request(fleet: Start, server: Serve) -> None:
    started = fleet('edge local', server(cuts(['Maps ', 'help '])), continue_locally=True)
    result = started.ask(params=SamplingParams(max_new_tokens=3))
    assert (result.text, result.finish_reason, result.new_tokens) == ('Maps help Robots ', FinishReason.LENGTH, 3)


def test_structured_answers_are_not_continued(fleet: Start, server: Serve) -> None:
    started = fleet('edge local', server(cuts(['{"a": '])), continue_locally=True)
    result = started.ask(params=SamplingParams(json_schema='{"type": "object"}'))
    assert (result.error_code, result.text) == (ErrorCode.REMOTE_FAILED, '{"a": ')


@pytest.mark.parametrize(('text', 'code'), [('{"a": 1}', ErrorCode.NONE), ('{"a": "1"}', ErrorCode.REMOTE_FAILED),
                                           ('No.', ErrorCode.REMOTE_FAILED)])
def test_an_answer_of_a_server_matches_its_schema_or_is_an_error(fleet: Start, server: Serve, text: str,
                                                                 code: ErrorCode) -> None:
    schema = '{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}'
    result = fleet('edge local', server(answers([text]))).ask(params=SamplingParams(json_schema=schema))
    assert (result.error_code, result.text, result.served_by) == (code, text, 'edge')


@pytest.mark.parametrize(('arguments', 'code'), [
    ('{"m": 2}', ErrorCode.NONE), ('{"m": "far"}', ErrorCode.REMOTE_FAILED), ('{"n": 2}', ErrorCode.REMOTE_FAILED)])
def test_a_call_of_a_server_matches_its_tool_or_is_an_error(fleet: Start, server: Serve, arguments: str,
                                                            code: ErrorCode) -> None:
    tools = tool_use([{'function': {'name': 'drive', 'parameters': {'properties': {'m': {'type': 'number'}}}}}])
    call = {'index': 0, 'id': 'a', 'function': {'name': 'drive', 'arguments': arguments}}
    result = fleet('edge local', server(events({'tool_calls': [call]}, reason='tool_calls'))).ask(
        messages=[{'role': 'user', 'content': 'Go'}], tools=tools)
    assert (result.error_code, result.served_by) == (code, 'edge')
    assert [each.arguments for each in result.tool_calls] == [arguments] * (code is ErrorCode.NONE)


def test_without_the_local_model_the_goal_fails_with_all_reasons(fleet: Start, server: Serve,
                                                                engine: ScriptedEngine) -> None:
    result = fleet('edge other', server(refuses(500, 'no disk')), server(refuses(400, 'too long'))).ask()
    assert (result.finish_reason, result.error_code) == (FinishReason.ABORTED, ErrorCode.REMOTE_FAILED)
    assert 'no disk' in result.error_message and 'too long' in result.error_message
    assert not engine.prefilled


def test_a_local_only_goal_never_leaves(fleet: Start, server: Serve) -> None:
    edge = server()
    assert fleet('edge', edge).ask(local_only=True).served_by == 'local'
    assert not edge.requests


def test_the_local_model_waits_no_longer_than_one_limit(fleet: Start, server: Serve) -> None:
    """Two servers that say nothing: the second one gets what the first one has left."""
    edge, other = server(says_nothing), server(says_nothing)
    started = fleet('edge other local', edge, other, remote={'first_token_timeout': 0.3})
    assert started.ask().served_by == 'local'
    assert edge.requests and not other.requests


def test_a_full_backend_is_passed_over(fleet: Start, server: Serve) -> None:
    started = fleet('edge local', server(stalls(['Maps '])), remote={'max_goals': 1})
    started.send().await_text()
    assert started.ask().served_by == 'local'


def test_a_goal_is_refused_where_all_are_full(fleet: Start, server: Serve) -> None:
    started = fleet('edge', server(stalls(['Maps '])), remote={'max_goals': 1})
    started.send().await_text()
    with pytest.raises(Refusal, match='queue full'):
        started.send()


def test_the_next_one_answers_where_the_local_queue_is_full(fleet: Start, server: Serve,
                                                            engine: ScriptedEngine) -> None:
    started = fleet('local edge', server())
    engine.stands_at = 0
    started.admission = type(started.admission)('reject', 1)
    started.send()
    wait_for(lambda: started.service.running)
    assert started.ask().served_by == 'edge'


def test_the_next_one_answers_where_the_local_model_fails(fleet: Start, server: Serve,
                                                          engine: ScriptedEngine) -> None:
    engine.fails_at = 0
    result = fleet('local edge', server()).ask()
    assert (result.served_by, result.text) == ('edge', REMOTE_TEXT)


def test_a_prompt_too_long_for_this_machine_goes_to_the_next(fleet: Start, server: Serve) -> None:
    assert fleet('local edge', server()).ask('a' * 5000).served_by == 'edge'


def test_the_local_error_is_told_where_nobody_else_answers(fleet: Start, server: Serve) -> None:
    result = fleet('local edge', server(refuses(500))).ask('a' * 5000)
    assert result.error_code is ErrorCode.PROMPT_TOO_LONG


@pytest.mark.parametrize('fields', [
    {'raw_prompt': 'Once'}, {'params': SamplingParams(regex='[a-z]+')}, {'params': SamplingParams(top_logprobs=2)},
    {'messages': [{'role': 'user', 'content': 'Hi'}, {'role': 'assistant', 'content': 'Robots'}]}], ids=str)
def test_what_the_api_cannot_say_goes_to_the_next(fleet: Start, server: Serve, fields: dict[str, Any]) -> None:
    edge = server()
    started = fleet('edge local', edge)
    asked = started.send(**fields)
    assert asked.result().served_by in ('local', '') and not edge.requests


def test_queued_goals_hear_of_the_local_queue(fleet: Start, server: Serve, engine: ScriptedEngine) -> None:
    started = fleet('local edge', server())
    engine.stands_at = 0
    started.send()
    wait_for(lambda: started.service.running)
    asked = started.send()
    wait_for(lambda: asked.events)
    assert asked.events == [Queued(1)] and started.service.waiting == 1
