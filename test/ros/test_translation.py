# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The core's results in the words of the action: the same names, the same values, every field."""

from __future__ import annotations

from dataclasses import fields
from uuid import uuid4

from tinychat_core.serving.results import (
    ChatResult,
    ErrorCode,
    Finished,
    FinishReason,
    Prefill,
    Queued,
    TextDelta,
    TokenLogprob,
)
from tinychat_core.text.tool_calls.tools import ToolCall
from tinychat_ros.interfaces import Chat
from tinychat_ros.translation import feedback_of, id_message, result_of, text_for_message

CONSTANTS = {name: getattr(Chat.Result, name) for name in dir(Chat.Result) if name.isupper()}


def test_finish_reasons_are_those_of_the_action() -> None:
    assert {reason.name: reason.value for reason in FinishReason} == {
        name: value for name, value in CONSTANTS.items() if isinstance(value, str)}


def test_error_codes_are_those_of_the_action() -> None:
    assert {code.name: code.value for code in ErrorCode} == {
        name: value for name, value in CONSTANTS.items() if isinstance(value, int)}


def test_every_field_of_a_result_reaches_the_message() -> None:
    result = ChatResult('a\0b', FinishReason.ABORTED, ErrorCode.TIME_LIMIT, 'over', prompt_tokens=1, reused_tokens=2,
                        dropped_turns=3, new_tokens=4, seed=5, served_by='local', queue_time=6.0,
                        time_to_first_token=7.0, tokens_per_second=8.0, thoughts='hm',
                        tool_calls=(ToolCall('1', 'go', '{}'),),
                        logprobs=(TokenLogprob(5, b'\xc3', -0.5, (TokenLogprob(6, b'x', -1.5),)),))
    message = result_of(result)
    assert (message.text, message.finish_reason, message.error_code, message.error_msg) == (
        'a\N{REPLACEMENT CHARACTER}b', 'aborted', 4, 'over')
    assert [(call.id, call.name, call.arguments) for call in message.tool_calls] == [('1', 'go', '{}')]
    assert [(each.token, each.text, each.logprob, list(each.top_tokens), list(each.top_logprobs))
            for each in message.logprobs] == [(5, '\N{REPLACEMENT CHARACTER}', -0.5, [6], [-1.5])]
    others = [field.name for field in fields(ChatResult) if field.name not in ('tool_calls', 'logprobs')][4:]
    assert [getattr(message, name) for name in others] == [getattr(result, name) for name in others]


def test_each_event_is_a_stage_of_the_feedback() -> None:
    result = ChatResult('', FinishReason.STOP)
    stages = [feedback_of(event) for event in (
        Queued(2), Prefill(0.5), TextDelta(1, 3, 'x\0'), Finished(TextDelta(2, 4, 'y'), result))]
    assert [feedback.stage for feedback in stages] == [0, 1, 2, 2]
    assert (stages[0].goals_ahead, stages[1].prefill_progress) == (2, 0.5)
    assert [(feedback.index, feedback.new_tokens, feedback.delta) for feedback in stages[2:]] == [
        (1, 3, text_for_message('x\0')), (2, 4, 'y')]


def test_an_id_is_the_same_bytes() -> None:
    request_id = uuid4()
    assert bytes(id_message(request_id).uuid) == request_id.bytes
