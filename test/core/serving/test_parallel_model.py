# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A real model of random weights: beside others, an answer has the tokens that it has alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from letters import KINDS, tiny_engine
import pytest
from talking import Asked

from tinychat_core.engine import Canceled, Engine
from tinychat_core.sampling import SamplingParams
from tinychat_core.serving.chat_service import ChatService
from tinychat_core.serving.requests import ChatRequest
from tinychat_core.serving.scheduler import Scheduler
from tinychat_core.step import Step

PRECISIONS = [('W4', 'auto'), ('W4', 'int8'), ('W8', 'auto'), ('W4A8', 'auto'), ('W4A16', 'auto')]


def requests() -> list[ChatRequest]:
    """Return answers of all kinds, to prompts of all lengths."""
    return [ChatRequest(raw_prompt=[(7 * i + number) % 256 for i in range(length)],
                        params=SamplingParams(max_new_tokens=40, seed=number, **fields))
            for number, (length, fields) in enumerate(KINDS)]


@pytest.fixture(params=PRECISIONS, ids=' '.join)
def engine(request: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    engine = tiny_engine(monkeypatch, *request.param)
    yield engine
    engine.close()


def answers(engine: Engine, parallel: int, speculates: bool = False) -> list[tuple[str, str]]:
    """Return the text and the end of each answer, `parallel` at a time."""
    engine.parallel, engine.speculates = parallel, speculates
    service = ChatService(engine)
    service.open()
    asked = []
    for request in requests():
        asked.append(Asked(service, request))
        if parallel == 1:
            service.conversations._pool.clear()  # each reads its whole prompt, as beside others
            asked[-1].result()
    results = [each.result() for each in asked]
    service.stop('the end')
    service.release()
    return [(result.text, result.finish_reason.value) for result in results]


def test_tokens_are_those_that_an_answer_has_alone(engine: Engine) -> None:
    alone = answers(engine, 1)
    assert len({text for text, _ in alone}) == len(alone)
    for speculates in (False, True):
        assert answers(engine, 4, speculates) == alone


def test_a_pass_that_was_interrupted_leaves_no_trace(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each pass of several is interrupted as late as possible, and repeated."""
    alone = answers(engine, 1)
    run, schedulers, interrupted = engine.run, list[Scheduler](), 0
    begin = Scheduler.__init__

    def noted(scheduler: Scheduler, *arguments: Any) -> None:
        schedulers.append(scheduler)
        begin(scheduler, *arguments)

    def interrupt(steps: Any, cancel: Any) -> Any:
        nonlocal interrupted
        interrupted += len(steps) > 1
        if len(steps) > 1 and interrupted % 2:
            run([Step(step.cache, step.tokens) for step in steps])
            schedulers[-1]._interrupt.set()
            raise Canceled('canceled')
        return run(steps, cancel)

    monkeypatch.setattr(Scheduler, '__init__', noted)
    monkeypatch.setattr(engine, 'run', interrupt)
    for speculates in (False, True):
        assert answers(engine, 4, speculates) == alone
    assert interrupted
