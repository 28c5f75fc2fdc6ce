# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Events of a stream become text, thoughts and calls; a server's mistake is a failure, never a wrong answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
import json
from typing import Any

import pytest

from tinychat_core.remote.openai_stream import AnswerReader, data_lines, MAX_LINE
from tinychat_core.remote.outcomes import Failed
from tinychat_core.sampling import SamplingParams
from tinychat_core.serving.requests import ChatRequest
from tinychat_core.serving.results import ChatResult, ErrorCode, FinishReason
from tinychat_core.text.tool_calls.tools import tool_use

TOOLS = tool_use([{'function': {'name': name}} for name in ('drive', 'stop')])


def event(delta: dict[str, Any] | None = None, reason: str | None = None, **more: Any) -> bytes:
    return json.dumps({'choices': [{'delta': delta or {}, 'finish_reason': reason}], **more}).encode()


def read(*events: bytes, **fields: Any) -> ChatResult:
    reader = AnswerReader(ChatRequest(prompt='Hello', **fields), 5)
    pieces = [piece for data in events for piece in [reader.push(data)] if piece]
    last = reader.finish()
    pieces += [last] if last else []
    assert reader.result is not None
    assert ''.join(piece.delta.text for piece in pieces) == reader.result.text
    assert [call for piece in pieces for call in piece.tool_calls] == [*reader.result.tool_calls]
    return reader.result


def call(index: int | None, name: str = '', arguments: str = '', call_id: str = '') -> dict[str, Any]:
    function = {'name': name or None, 'arguments': arguments}
    return {'tool_calls': [{'index': index, 'id': call_id or None, 'function': function}]}


def test_text_and_usage() -> None:
    usage = {'prompt_tokens': 8, 'completion_tokens': 5, 'prompt_tokens_details': {'cached_tokens': 6}}
    result = read(event({'role': 'assistant', 'content': ''}), event({'content': 'Hi'}), event(reason='stop'),
                  json.dumps({'choices': [], 'usage': usage}).encode(), b'[DONE]')
    assert (result.text, result.finish_reason, result.seed) == ('Hi', FinishReason.STOP, 5)
    assert (result.prompt_tokens, result.reused_tokens, result.new_tokens) == (8, 6, 5)


@pytest.mark.parametrize('usage', [
    None, {}, {'prompt_tokens': None}, {'prompt_tokens': -1, 'completion_tokens': 10**18}], ids=str)
def test_counts_that_are_missing_or_impossible(usage: dict[str, Any] | None) -> None:
    result = read(event({'content': 'Hi'}), event(reason='stop', usage=usage), b'{"choices": null}')
    assert result.prompt_tokens == 0 and 1 <= result.new_tokens < 2**31


def test_an_id_that_no_message_can_hold_is_replaced() -> None:
    result = read(event(call(0, 'stop', '{}', 'a\0'), 'tool_calls'), tools=TOOLS)
    assert result.tool_calls[0].id == 'call00000'


@pytest.mark.parametrize('deltas', [
    [{'reasoning_content': 'Hm.'}, {'content': 'Yes'}], [{'reasoning': 'Hm.'}, {'content': 'Yes'}],
    [{'content': '<thi'}, {'content': 'nk>Hm.</think>\n\nY'}, {'content': 'es'}]], ids=str)
def test_thoughts_are_kept_apart(deltas: list[dict[str, Any]]) -> None:
    result = read(*map(event, deltas), event(reason='stop'))
    assert (result.text, result.thoughts) == ('Yes', 'Hm.')


def test_calls_in_pieces() -> None:
    result = read(event({'content': 'Well.'}), event(call(0, 'drive', '', 'a')), event(call(0, '', '{"m": ')),
                  event(call(0, '', '2}')), event(call(1, 'stop', '{}', 'b')), event(reason='tool_calls'), tools=TOOLS)
    assert result.finish_reason is FinishReason.TOOL_CALLS and result.text == 'Well.'
    assert [(each.id, each.name, each.arguments) for each in result.tool_calls] == [
        ('a', 'drive', '{"m": 2}'), ('b', 'stop', '{}')]


def test_calls_without_an_index_or_the_right_reason() -> None:
    result = read(event(call(None, 'drive', '{}', 'a')), event(call(None, 'stop', '', 'b'), 'stop'), tools=TOOLS)
    assert result.finish_reason is FinishReason.TOOL_CALLS
    assert [(each.name, each.arguments) for each in result.tool_calls] == [('drive', '{}'), ('stop', '{}')]


def test_a_call_that_was_cut_off_belongs_to_no_part() -> None:
    result = read(event(call(0, 'drive', '{"m": ', 'a')), event(reason='length'), tools=TOOLS)
    assert (result.error_code, result.tool_calls) == (ErrorCode.STRUCTURE_INCOMPLETE, ())


def test_a_structure_that_was_cut_off() -> None:
    result = read(event({'content': '{"a'}), event(reason='length'), params=SamplingParams(json_schema='{}'))
    assert result.error_code is ErrorCode.STRUCTURE_INCOMPLETE


def test_a_server_that_ignores_the_limit_is_stopped() -> None:
    result = read(*[event({'content': 'a'})] * 9, params=SamplingParams(max_new_tokens=4))
    assert result.finish_reason is FinishReason.LENGTH and len(result.text) <= 5


def test_an_answer_that_was_withheld() -> None:
    assert read(event(reason='content_filter')).error_code is ErrorCode.REMOTE_FAILED


@pytest.mark.parametrize('events', [
    [event(call(0, 'rm', '{}')), event(reason='tool_calls')], [event(call(0, 'drive', '[1]'), 'tool_calls')],
    [event(call(0, 'drive', '{'), 'stop')], [event(call(2, 'drive', '{}'))], [event(call(-1, 'drive', '{}'))],
    [event(call(0, 'drive', '{}')), event(call(1, 'stop', '{}')), event(call(0, '', '{}'))],
    [event({'content': 'a'})], [event(reason='why')], [b'null'], [b'{"choices": 1}'], [b'{"error": "no memory"}'],
    [b'[' * 100_000], [event(call(i, 'stop', '{}')) for i in range(17)][-1:],
    [event(call(i, 'stop', '{}')) for i in range(17)]], ids=lambda events: repr(events)[:60])
def test_what_the_api_does_not_allow_is_a_failure(events: list[bytes]) -> None:
    with pytest.raises(Failed):
        read(*events, tools=TOOLS)


def test_a_required_call_that_is_missing_is_a_failure() -> None:
    with pytest.raises(Failed, match='required'):
        read(event({'content': 'a'}), event(reason='stop'), tools=tool_use([{'function': {'name': 'a'}}], 'required'))


def lines(*chunks: bytes) -> list[bytes]:
    async def source() -> AsyncGenerator[bytes, None]:
        for chunk in chunks:
            yield chunk

    async def collect() -> list[bytes]:
        return [line async for line in data_lines(source())]

    return asyncio.run(collect())


def test_lines_are_joined_across_chunks() -> None:
    assert lines(b'data: a\r\n\r', b'\n: comment\nevent: x\nda', b'ta:b\n\n') == [b'a', b'b']


def test_a_line_without_an_end_is_bounded() -> None:
    with pytest.raises(Failed, match='too long'):
        lines(b'data: ', *[b'a' * 65536] * (MAX_LINE // 65536 + 1))
