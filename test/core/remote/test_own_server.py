# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A robot that asks another TinyChat over its real HTTP server."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from fleet import Fleet
import pytest
from scripted_engine import EOS, ScriptedEngine, ScriptedTokenizer
from serving_http import Served
from waiting import wait_for

from tinychat_core.sampling import SamplingParams
from tinychat_core.serving.request_queue import Admission
from tinychat_core.serving.results import ErrorCode, FinishReason
from tinychat_core.text.tool_calls.tools import tool_use

TEXT = 'Servers know more.'


class Bytes(ScriptedTokenizer):
    """Tokens that are bytes, also where a grammar forces a text."""

    def encode_within(self, text: str) -> list[int]:
        """Return the bytes."""
        return [*text.encode()]


@pytest.fixture
def served() -> Iterator[Served]:
    """Return the other TinyChat."""
    engine = ScriptedEngine(context_length=200)
    engine.words = ['Servers ', 'know ', 'more.']
    served = Served(engine, api_key='secret')
    yield served
    engine.stands_at = None
    served.close()


@pytest.fixture
def robot(served: Served, fleet: Callable[..., Fleet]) -> Fleet:
    """Return the robot, which has the key."""
    return fleet('edge local', f'{served.url}/v1', remote={'model': 'scripted', 'api_key': 'secret'})


def test_text_and_counts(robot: Fleet, served: Served) -> None:
    asked = robot.send(system_prompt='Be short.')
    result = asked.result()
    assert (result.text, result.finish_reason, result.served_by) == (TEXT, FinishReason.STOP, 'edge')
    assert result.new_tokens == 4 and result.prompt_tokens == len(served.engine.prefilled[0])
    assert [message['role'] for message in served.engine.dialogues[0]] == ['system', 'user']
    assert result.time_to_first_token > 0 and ''.join(delta.text for delta in asked.deltas()) == TEXT


def test_the_length_and_a_stop_text(robot: Fleet) -> None:
    assert robot.ask(params=SamplingParams(max_new_tokens=2)).finish_reason is FinishReason.LENGTH
    assert robot.ask(params=SamplingParams(stop=('more',))).text == 'Servers know '


def test_a_tool_call(robot: Fleet, served: Served) -> None:
    call = '<tool_call>\n{"name": "drive", "arguments": {"m": 2}}\n</tool_call>'
    served.engine.__init__([*call.encode(), *[EOS] * 9])  # type: ignore[misc]
    served.engine.tokenizer = Bytes()
    tools = tool_use([{'function': {'name': 'drive', 'parameters': {'properties': {'m': {'type': 'number'}}}}}])
    result = robot.ask(messages=[{'role': 'user', 'content': 'Go'}], tools=tools)
    assert (result.finish_reason, result.served_by) == (FinishReason.TOOL_CALLS, 'edge')
    assert [(call.name, call.arguments) for call in result.tool_calls] == [('drive', '{"m": 2}')]


def test_a_cancel_reaches_the_server(robot: Fleet, served: Served) -> None:
    served.engine.stands_at = 2
    asked = robot.send()
    asked.await_text()
    asked.handle.cancel()
    assert asked.result().finish_reason is FinishReason.CANCELED
    served.await_idle()


def test_a_prompt_that_is_too_long_there_is_answered_here(robot: Fleet) -> None:
    assert robot.ask('a' * 300).served_by == 'local'
    (status,) = robot.service.backend_status()
    assert status.state == 'up' and 'refuses the request (400)' in status.last_error
    assert robot.ask().served_by == 'edge'
    assert robot.service.backend_status()[0].last_error == ''


def test_a_full_queue_there_sends_the_goal_here(robot: Fleet, served: Served) -> None:
    served.admission = Admission('reject', 1)
    served.engine.stands_at = 1
    robot.send().await_text()
    assert robot.ask().served_by == 'local'


def test_a_key_that_is_wrong_is_seen_at_start(fleet: Callable[..., Fleet], served: Served) -> None:
    robot = fleet('edge', f'{served.url}/v1', remote={'model': 'scripted', 'api_key': 'other'})
    wait_for(lambda: robot.state('edge') == 'failing')
    assert 'refuses the API key (401)' in robot.service.backend_status()[0].last_error
    assert robot.ask().error_code is ErrorCode.REMOTE_FAILED


def test_a_server_that_stops_breaks_the_stream(robot: Fleet, served: Served) -> None:
    served.engine.stands_at = 2
    asked = robot.send()
    asked.await_text()
    served.service.stop('the end')
    result = asked.result()
    assert result.error_code is ErrorCode.REMOTE_FAILED and result.text.startswith('Servers')
