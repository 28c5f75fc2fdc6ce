# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Goals with tools and thoughts: the parts of an answer in result, feedback and ~/tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from robot import Robot
from scripted_engine import EOS, ScriptedEngine, ScriptedTokenizer
from waiting import wait_for

from tinychat_core.text.thoughts import ThoughtMarks
from tinychat_ros.interfaces import Chat, GetModelInfo, Message, Tokenize, ToolCall

TOOLS = """[{"type": "function", "function": {"name": "go", "parameters": {"type": "object", "properties": {
    "x": {"type": "integer"}}, "required": ["x"]}}}]"""
CALL = '<tool_call>\n{"name": "go", "arguments": {"x": 1}}\n</tool_call>'


class Bytes(ScriptedTokenizer):
    """Tokens that are bytes, also where a grammar forces a text; the model may think."""

    thought_marks = ThoughtMarks('<think>', '</think>')

    def encode_within(self, text: str) -> list[int]:
        return [*text.encode()]


@pytest.fixture
def say(start: Callable[..., Robot]) -> Callable[[str], Robot]:
    """Return a function that starts a robot whose model says a text."""
    def begin(text: str) -> Robot:
        engine = ScriptedEngine([*text.encode(), *[EOS] * 100])
        engine.tokenizer = Bytes()
        return start(lambda *_, **__: engine)

    return begin


def test_an_answer_comes_in_its_parts(say: Callable[[str], Robot]) -> None:
    robot = say(f'<think>I must.</think>\n\nLet me see.\n{CALL}')
    goal = robot.send(tools=TOOLS)
    _, result = goal.result()
    assert (result.text, result.thoughts, result.finish_reason) == ('Let me see.', 'I must.', Chat.Result.TOOL_CALLS)
    assert [(call.name, call.arguments) for call in result.tool_calls] == [('go', '{"x": 1}')]
    pieces = robot.pieces(goal.handle.goal_id)
    assert ''.join(piece.delta for piece in pieces) == result.text
    assert ''.join(piece.thought_delta for piece in pieces) == result.thoughts
    assert pieces[-1].finish_reason == 'tool_calls'
    wait_for(lambda: [call for feedback in goal.feedback for call in feedback.tool_calls] == [*result.tool_calls])
    assert ''.join(feedback.thought_delta for feedback in goal.feedback) == result.thoughts


def test_calls_and_results_are_messages(say: Callable[[str], Robot]) -> None:
    robot = say('I am there.')
    call = ToolCall(id='a', name='go', arguments='{"x": 1}')
    messages = [Message(role='user', content='Go.'), Message(role='assistant', thoughts='I must.', tool_calls=[call]),
                Message(role='tool', content='Done.', tool_call_id='a')]
    goal = robot.send(prompt='', messages=messages, tools=TOOLS, tool_choice='none')
    assert goal.result()[1].text == 'I am there.'
    assert robot.call(Tokenize, 'tokenize', Tokenize.Request(messages=messages)).success


REJECTED: dict[str, tuple[dict[str, Any], str]] = {
    'no JSON': ({'tools': '['}, 'tools: is no JSON'),
    'no name': ({'tools': '[{"function": {}}]'}, 'tools[0].function.name: must be'),
    'unknown tool': ({'tools': TOOLS, 'tool_choice': 'stop'}, "tool_choice: must be 'auto', 'none', 'required'"),
    'required of none': ({'tool_choice': 'required'}, 'tool_choice: requires a tool'),
    'thinking': ({'thinking': 3}, 'thinking must be one of 0, 1, 2, not 3'),
    'result of a user': ({'prompt': '', 'messages': [Message(role='user', tool_call_id='a')]}, 'tool_call_id: only'),
}


@pytest.mark.parametrize(('fields', 'reason'), REJECTED.values(), ids=REJECTED.keys())
def test_what_is_impossible_is_rejected(robot: Robot, fields: dict[str, Any], reason: str) -> None:
    assert not robot.send(**fields).handle.accepted
    wait_for(lambda: reason in robot.states[-1].last_rejection)


def test_the_model_tells_what_its_template_knows(robot: Robot) -> None:
    info = robot.call(GetModelInfo, 'get_model_info', GetModelInfo.Request())
    assert (info.tools, info.thinking) == (True, False)
