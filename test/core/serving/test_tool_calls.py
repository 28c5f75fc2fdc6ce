# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Requests with tools, and answers with thoughts: each part of an answer by itself, streamed and whole."""

from __future__ import annotations

from typing import Any

import pytest
from scripted_engine import EOS, ScriptedEngine, ScriptedTokenizer
from talking import Asked, Talk

from tinychat_core.errors import InvalidParameterError
from tinychat_core.sampling import SamplingParams
from tinychat_core.serving.requests import ChatRequest
from tinychat_core.serving.results import ChatResult, ErrorCode, FinishReason, TextDelta
from tinychat_core.text.thoughts import ThoughtMarks
from tinychat_core.text.tool_calls.tools import tool_use

TOOLS = """[{"type": "function", "function": {"name": "go", "parameters": {"type": "object", "properties": {
    "x": {"type": "integer"}}, "required": ["x"]}}}]"""
CALL = '<tool_call>\n{"name": "go", "arguments": {"x": 1}}\n</tool_call>'
DIALOGUE: list[dict[str, Any]] = [
    {'role': 'user', 'content': 'Go.'},
    {'role': 'assistant', 'content': '', 'tool_calls': [{'id': 'a', 'name': 'go', 'arguments': '{"x": 1}'}]},
    {'role': 'tool', 'content': 'Done.', 'tool_call_id': 'a'}]


class Bytes(ScriptedTokenizer):
    """Tokens that are bytes, also where a grammar forces a text; the model may think."""

    thought_marks = ThoughtMarks('<think>', '</think>')

    def encode_within(self, text: str) -> list[int]:
        return [*text.encode()]


def ask(script: str, *, wants_sentences: bool = False, choice: str = '', max_new_tokens: int = 200,
        **fields: Any) -> tuple[ChatResult, list[TextDelta]]:
    """Return the result and the pieces of an answer of a model that would like to say `script`."""
    engine = ScriptedEngine([*script.encode(), *[EOS] * 100])
    engine.tokenizer = Bytes()
    talk = Talk(engine)
    try:
        params = SamplingParams(max_new_tokens)
        request = ChatRequest(**{'prompt': 'Go.', 'tools': tool_use(TOOLS, choice), 'params': params,
                                 'wants_sentences': wants_sentences, **fields})
        asked = Asked(talk.service, request)
        return asked.result(), asked.deltas()
    finally:
        talk.service.close()


def test_an_answer_comes_in_its_parts() -> None:
    result, deltas = ask(f'<think>\nI must.\n</think>\n\nLet me see.\n{CALL}\n{CALL}', wants_sentences=True)
    assert (result.text, result.thoughts, result.finish_reason) == ('Let me see.', 'I must.', FinishReason.TOOL_CALLS)
    assert [(call.name, call.arguments) for call in result.tool_calls] == [('go', '{"x": 1}')] * 2
    assert ''.join(delta.text for delta in deltas) == result.text
    assert ''.join(delta.thought for delta in deltas) == result.thoughts
    assert tuple(call for delta in deltas for call in delta.tool_calls) == result.tool_calls
    assert [''.join(call.arguments for delta in deltas for call in delta.calls if call.index == i)
            for i in (0, 1)] == ['{"x": 1}'] * 2
    assert [sentence for delta in deltas for sentence in delta.sentences] == ['Let me see.']


def test_a_call_is_told_before_the_answer_has_ended() -> None:
    _, deltas = ask(f'{CALL}\n{CALL}')
    first = next(i for i, delta in enumerate(deltas) if delta.tool_calls)
    assert first < len(deltas) - 2


@pytest.mark.parametrize(('limit', 'reason', 'code', 'count'), [
    (30, FinishReason.ABORTED, ErrorCode.STRUCTURE_INCOMPLETE, 0),
    (50, FinishReason.TOOL_CALLS, ErrorCode.NONE, 1),  # all of it but the mark behind it
])
def test_a_call_that_is_cut_off_is_none(limit: int, reason: FinishReason, code: ErrorCode, count: int) -> None:
    result, _ = ask(CALL, max_new_tokens=limit)
    assert (result.finish_reason, result.error_code, len(result.tool_calls)) == (reason, code, count)
    assert result.text == ''


def test_a_required_call_that_never_came_is_incomplete() -> None:
    result, _ = ask(f'<think>{"x" * 100}', choice='required', max_new_tokens=50)
    assert result.error_code == ErrorCode.STRUCTURE_INCOMPLETE and result.thoughts == 'x' * 43


def test_without_tools_a_mark_is_text() -> None:
    assert ask(CALL, tools=tool_use(''))[0].text == CALL


def test_results_of_tools_are_messages() -> None:
    result, _ = ask('I am there.', prompt='', messages=DIALOGUE)
    assert (result.text, result.finish_reason) == ('I am there.', FinishReason.STOP)


@pytest.mark.parametrize(('fields', 'reason'), [
    ({'prompt': '', 'messages': [{'role': 'user', 'content': 'x', 'tool_call_id': 'a'}]}, 'tool_call_id: only'),
    ({'prompt': '', 'messages': [{'role': 'robot', 'content': 'x'}]}, "not 'robot'"),
])
def test_what_cannot_be_answered_is_refused(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidParameterError, match=reason):
        ChatRequest(**{'prompt': 'Go.', 'tools': tool_use(TOOLS), **fields})


def test_of_a_conversation_no_thoughts_are_kept() -> None:
    engine = ScriptedEngine([*b'<think>I must.</think>Yes.', EOS, *b'No.', EOS])
    engine.tokenizer = Bytes()
    talk = Talk(engine)
    for prompt in 'ab':
        talk.send(prompt, SamplingParams(100), conversation_id='kitchen').result()
    talk.service.close()
    assert engine.dialogues[-1][1] == {'role': 'assistant', 'content': 'Yes.'}
    assert b'must' not in bytes(token % 256 for token in engine.prefilled[-1])


def test_the_choice_to_think_reaches_the_template() -> None:
    engine = ScriptedEngine([*b'Yes.', EOS, *b'No.', EOS])
    talk = Talk(engine)
    talk.send('a', thinking=False).result()
    talk.send('a', thinking=True, conversation_id='kitchen').result()
    talk.service.close()
    assert engine.tokenizer.thinking == [False, True]


class Calling(Bytes):
    """Writes calls and results into a prompt, too."""

    def _ids(self, messages: Any) -> list[int]:
        ids = []
        for message in messages:
            calls = ''.join(f'{call["name"]} {call["arguments"]}' for call in message.get('tool_calls', ()))
            ids += [*f'{message["role"]}: {message["content"]}{calls}'.encode(), EOS]
        return ids


def in_kitchen(talk: Talk, prompt: str = '', **fields: Any) -> ChatResult:
    return talk.send(prompt, SamplingParams(200), conversation_id='kitchen', tools=tool_use(TOOLS), **fields).result()


def test_a_conversation_keeps_calls_and_takes_their_results() -> None:
    engine = ScriptedEngine([*CALL.encode(), EOS, *b'I am there.', EOS, *b'Yes.', EOS])
    engine.tokenizer = Calling()
    talk = Talk(engine)
    (call,) = in_kitchen(talk, 'Go.').tool_calls
    results = [{'role': 'tool', 'tool_call_id': call.id, 'content': 'Done.'}]
    assert in_kitchen(talk, messages=results).text == 'I am there.'
    # Tools may be left out, and the calls stay in the dialogue.
    assert talk.send('Sure?', SamplingParams(200), conversation_id='kitchen').result().text == 'Yes.'
    assert [(message['role'], message['content']) for message in engine.dialogues[-1]] == [
        ('user', 'Go.'), ('assistant', ''), ('tool', 'Done.'), ('assistant', 'I am there.'), ('user', 'Sure?')]
    assert engine.dialogues[-1][1]['tool_calls'] == [{'id': call.id, 'name': 'go', 'arguments': '{"x": 1}'}]
    talk.service.close()


def test_a_result_of_no_call_is_refused() -> None:
    talk = Talk(ScriptedEngine([*b'Hi.', EOS] * 2))
    talk.engine.tokenizer = Calling()
    results = [{'role': 'tool', 'tool_call_id': 'a', 'content': 'Done.'}]
    for prompt in ('', 'Go.'):
        if prompt:
            in_kitchen(talk, prompt)
        refused = in_kitchen(talk, messages=results)
        assert refused.error_code == ErrorCode.INVALID_GOAL
        assert 'messages[0].tool_call_id' in refused.error_message
    talk.service.close()


def test_a_conversation_takes_no_other_messages() -> None:
    with pytest.raises(InvalidParameterError, match='keeps the turns itself'):
        ChatRequest(messages=[{'role': 'user', 'content': 'x'}], conversation_id='kitchen')


def test_a_result_is_not_kept_without_its_call() -> None:
    """When the context is full, the oldest turns are left out up to the beginning of a question."""
    engine = ScriptedEngine([*CALL.encode(), EOS, *b'There.', EOS, *b'Yes.', EOS], context_length=400)
    engine.tokenizer = Calling()
    talk = Talk(engine)
    (call,) = in_kitchen(talk, 'Go.' + 'x' * 120).tool_calls
    in_kitchen(talk, messages=[{'role': 'tool', 'tool_call_id': call.id, 'content': 'y' * 60}])
    result = in_kitchen(talk, 'z' * 60)
    assert result.dropped_turns == 2
    assert [message['role'] for message in engine.dialogues[-1]] == ['user']
    talk.service.close()
