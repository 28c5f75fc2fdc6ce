# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""From the core's events and results to messages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from unique_identifier_msgs.msg import UUID as UUIDMessage

from tinychat_core.serving import results
from tinychat_core.serving.requests import check_amount, MAX_MESSAGES
from tinychat_core.serving.results import ChatEvent, ChatResult, Finished, Prefill, Queued, TextDelta
from tinychat_core.text.tool_calls import tools
from tinychat_ros.interfaces import Chat, Message, TokenLogprob, ToolCall


def text_for_message(text: str) -> str:
    """Return a text without NUL, which would end it in the C strings of a message."""
    return text.replace('\0', '\N{REPLACEMENT CHARACTER}')


def id_message(request_id: UUID) -> UUIDMessage:
    """Return an id as a message."""
    return UUIDMessage(uuid=list(request_id.bytes))


def feedback_of(event: ChatEvent) -> Chat.Feedback:
    """Return what an event tells the client of an action."""
    if isinstance(event, Queued):
        return Chat.Feedback(stage=Chat.Feedback.QUEUED, goals_ahead=event.ahead)
    if isinstance(event, Prefill):
        return Chat.Feedback(stage=Chat.Feedback.PREFILL, prefill_progress=event.progress)
    delta = delta_of(event)
    return Chat.Feedback(stage=Chat.Feedback.DECODE, prefill_progress=1.0, index=delta.index,
                         new_tokens=delta.new_tokens, delta=text_for_message(delta.text),
                         thought_delta=text_for_message(delta.thought), tool_calls=_calls(delta.tool_calls))


def dialogue_of(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Return messages as the core takes them; InvalidParameterError for too many, before anything is done for them."""
    check_amount('messages', len(messages), MAX_MESSAGES, 'messages')
    dialogue = []
    for message in messages:
        more = {'thoughts': message.thoughts, 'tool_call_id': message.tool_call_id, 'tool_calls': [
            {'id': call.id, 'name': call.name, 'arguments': call.arguments} for call in message.tool_calls]}
        dialogue.append({'role': message.role, 'content': message.content,
                         **{name: value for name, value in more.items() if value}})
    return dialogue


def delta_of(event: TextDelta | Finished) -> TextDelta:
    """Return the piece of text that comes with an event."""
    return event.delta if isinstance(event, Finished) else event


def result_of(result: ChatResult) -> Chat.Result:
    """Return the action's result."""
    return Chat.Result(
        text=text_for_message(result.text), thoughts=text_for_message(result.thoughts),
        tool_calls=_calls(result.tool_calls), finish_reason=result.finish_reason.value,
        error_code=result.error_code.value, error_msg=result.error_message, prompt_tokens=result.prompt_tokens,
        image_tokens=result.image_tokens, image_time=result.image_time,
        reused_tokens=result.reused_tokens, dropped_turns=result.dropped_turns, new_tokens=result.new_tokens,
        accepted_tokens=result.accepted_tokens, seed=result.seed, served_by=result.served_by,
        queue_time=result.queue_time,
        time_to_first_token=result.time_to_first_token, tokens_per_second=result.tokens_per_second,
        logprobs=[_logprob(each) for each in result.logprobs])


def _logprob(of: results.TokenLogprob) -> TokenLogprob:
    return TokenLogprob(token=of.token, text=text_for_message(of.piece.decode(errors='replace')), logprob=of.logprob,
                        top_tokens=[other.token for other in of.top], top_logprobs=[other.logprob for other in of.top])


def _calls(calls: Iterable[tools.ToolCall]) -> list[ToolCall]:
    return [ToolCall(id=call.id, name=call.name, arguments=call.arguments) for call in calls]
