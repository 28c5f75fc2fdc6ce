# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The table of endings: every way a request can end, and what its listener hears of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from scripted_engine import ScriptedEngine
from talking import Asked, Talk

from tinychat_core.errors import InvalidParameterError
from tinychat_core.sampling import SamplingParams
from tinychat_core.serving.request_queue import Admission
from tinychat_core.serving.results import ErrorCode, Finished, FinishReason

Act = Callable[[Talk], Asked]


def plain(prompt: str = 'Hello', params: dict[str, Any] | None = None, **attributes: Any) -> Act:
    """Return what submits a request to an engine with these attributes."""
    def send(talk: Talk) -> Asked:
        for name, value in attributes.items():
            setattr(talk.engine, name, value)
        return talk.send(prompt, SamplingParams(**(params or {})))
    return send


def then(act: Callable[[Talk, Asked], Any], begin: Act) -> Act:
    """Return what begins a request and does something to it."""
    def both(talk: Talk) -> Asked:
        asked = begin(talk)
        act(talk, asked)
        return asked
    return both


def refuse(*_: Any, **__: Any) -> None:
    raise InvalidParameterError('the template refuses these messages')


def no_memory(*_: Any) -> None:
    raise MemoryError


def invalid(talk: Talk) -> Asked:
    talk.engine.tokenizer.encode_chat = refuse
    return talk.send()


def preempt(talk: Talk, _: Asked) -> None:
    talk.admission = Admission('preempt')
    talk.send('newer')


def stop(talk: Talk, _: Asked) -> None:
    talk.stop_beside()


def lose(_: Talk, asked: Asked) -> None:
    asked.handle.abort(ErrorCode.CLIENT_LOST, 'its client has gone')


TABLE: dict[str, tuple[Act, FinishReason, ErrorCode]] = {
    'end of the answer': (plain(), FinishReason.STOP, ErrorCode.NONE),
    'stop text': (plain(params={'stop': ['maps']}), FinishReason.STOP, ErrorCode.NONE),
    'max_new_tokens': (plain(params={'max_new_tokens': 2}), FinishReason.LENGTH, ErrorCode.NONE),
    'end of the context': (plain(context_length=9), FinishReason.LENGTH, ErrorCode.NONE),
    'canceled': (then(lambda _, asked: asked.handle.cancel(), Talk.endless), FinishReason.CANCELED, ErrorCode.NONE),
    'canceled before it ran': (then(lambda _, asked: asked.handle.cancel(), Talk.waiting), FinishReason.CANCELED,
                               ErrorCode.NONE),
    'invalid': (invalid, FinishReason.ABORTED, ErrorCode.INVALID_GOAL),
    'prompt too long': (plain('x' * 200), FinishReason.ABORTED, ErrorCode.PROMPT_TOO_LONG),
    'preempted': (then(preempt, Talk.endless), FinishReason.ABORTED, ErrorCode.PREEMPTED),
    'preempted before it ran': (then(preempt, Talk.waiting), FinishReason.ABORTED, ErrorCode.PREEMPTED),
    'time limit': (lambda talk: talk.endless(time_limit=1.0), FinishReason.ABORTED, ErrorCode.TIME_LIMIT),
    'time limit before it ran': (lambda talk: talk.waiting(time_limit=0.1), FinishReason.ABORTED, ErrorCode.TIME_LIMIT),
    'stopped': (then(stop, Talk.endless), FinishReason.ABORTED, ErrorCode.DEACTIVATED),
    'stopped before it ran': (then(stop, Talk.waiting), FinishReason.ABORTED, ErrorCode.DEACTIVATED),
    'structure incomplete': (plain(params={'regex': 'abc', 'max_new_tokens': 2}, words=[*'abc']), FinishReason.ABORTED,
                             ErrorCode.STRUCTURE_INCOMPLETE),
    'no memory': (plain(prefill=no_memory), FinishReason.ABORTED, ErrorCode.OUT_OF_MEMORY),
    'decoder broken': (plain(fails_at=1), FinishReason.ABORTED, ErrorCode.BACKEND_FAILED),
    'client lost': (then(lose, Talk.endless), FinishReason.ABORTED, ErrorCode.CLIENT_LOST),
}
# Of the interface, and served by nothing yet.
NOT_YET = {ErrorCode.NO_IMAGE, ErrorCode.REMOTE_FAILED}


@pytest.mark.parametrize(('act', 'reason', 'code'), TABLE.values(), ids=TABLE.keys())
def test_how_a_request_ends(talk: Talk, act: Act, reason: FinishReason, code: ErrorCode) -> None:
    asked = act(talk)
    result = asked.result()
    assert (result.finish_reason, result.error_code) == (reason, code)
    assert bool(result.error_message) == (reason is FinishReason.ABORTED)
    assert [isinstance(event, Finished) for event in asked.events].count(True) == 1
    last = asked.events[-1]
    assert isinstance(last, Finished) and last.result is result
    deltas = asked.deltas()
    assert ''.join(delta.text for delta in deltas) == result.text
    assert [delta.index for delta in deltas] == [*range(len(deltas))]
    assert deltas[-1].new_tokens == result.new_tokens


def test_every_error_code_is_in_the_table() -> None:
    assert {code for *_, code in TABLE.values()} == {*ErrorCode} - {ErrorCode.UNKNOWN} - NOT_YET


@pytest.mark.parametrize('act', [act for act, _, code in TABLE.values() if code is not ErrorCode.DEACTIVATED],
                         ids=[name for name, (*_, code) in TABLE.items() if code is not ErrorCode.DEACTIVATED])
def test_after_any_end_the_next_request_is_served(talk: Talk, engine: ScriptedEngine, act: Act) -> None:
    act(talk).result()
    for handle in talk.service.running:
        handle.cancel()
    engine.__dict__.clear()  # functions that the test has put there, too
    engine.__init__()  # type: ignore[misc]
    assert talk.send().result().text == 'Robots need maps.'


def test_the_first_reason_counts(talk: Talk) -> None:
    asked = talk.endless()
    with asked.handle.events_held():  # it cannot end meanwhile
        asked.handle.abort(ErrorCode.CLIENT_LOST, 'its client has gone')
        asked.handle.cancel()
    assert asked.result().error_code is ErrorCode.CLIENT_LOST


def test_what_has_ended_cannot_be_canceled(talk: Talk) -> None:
    asked = talk.send()
    asked.result()
    assert not asked.handle.cancel()
    assert asked.handle.result is not None and asked.handle.result.finish_reason is FinishReason.STOP
