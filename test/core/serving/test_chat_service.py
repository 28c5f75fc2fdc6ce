# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Who is accepted, in which order requests run, and what listeners hear while they do."""

from __future__ import annotations

import gc
import logging
from threading import Event, Thread
from time import monotonic
from typing import Any
from uuid import uuid4
from weakref import ref

import pytest
from scripted_engine import ScriptedEngine
from talking import Asked, Talk
from waiting import wait_for

from tinychat_core.sampling import SamplingParams
from tinychat_core.serving.request_queue import Admission
from tinychat_core.serving.requests import ChatRequest, Refusal, RefusalReason
from tinychat_core.serving.results import ChatEvent, ErrorCode, Finished, FinishReason, Prefill, Queued, TextDelta


def test_the_result_has_text_and_figures(talk: Talk, engine: ScriptedEngine) -> None:
    engine.prefill_delay = engine.delay = 0.02
    result = talk.send(params=SamplingParams(seed=7)).result()
    # The prompt: role, 5 letters, end, role; the answer: three words and the end.
    assert (result.text, result.prompt_tokens, result.new_tokens, result.seed) == ('Robots need maps.', 8, 4, 7)
    assert result.time_to_first_token >= 0.02
    assert 0 < result.tokens_per_second < 51
    metrics = talk.service.metrics
    assert (metrics.answers, metrics.tokens_per_second) == (1, result.tokens_per_second)


@pytest.mark.parametrize('raw_prompt', ['Hi', [72, 105]])
def test_a_raw_prompt_is_continued_without_the_template(talk: Talk, engine: ScriptedEngine, raw_prompt: Any) -> None:
    assert talk.send('', raw_prompt=raw_prompt).result().text == 'Robots need maps.'
    assert engine.prefilled == [[72, 105]] and engine.dialogues == []


def test_events_come_in_order(talk: Talk, engine: ScriptedEngine) -> None:
    engine.prefill_delay = 60.0
    first = talk.send('first')
    wait_for(lambda: engine.prefilled)
    second, third = talk.send('second'), talk.send('third')
    engine.prefill_delay = 0.0
    first.handle.cancel()
    third.result()
    assert first.events[0] == Prefill(0.0)
    assert (second.events[0], third.events[0]) == (Queued(1), Queued(2))
    kinds = [type(event) for event in third.events]
    assert kinds == [Queued, Prefill, *[TextDelta] * 3, Finished]


def test_a_long_prompt_tells_how_much_of_it_is_read(talk: Talk, engine: ScriptedEngine) -> None:
    engine.context_length = 2000
    asked = talk.send('x' * 1600)
    asked.result()
    progress = [event.progress for event in asked.events if isinstance(event, Prefill)]
    assert len(progress) == 4 and progress == sorted(progress) and progress[-1] < 1.0


def test_sentences_come_with_the_text_where_they_are_wanted(talk: Talk, engine: ScriptedEngine) -> None:
    engine.words = ['I', ' go', '. Then', ' I', ' wait']
    asked = talk.send(wants_sentences=True)
    asked.result()
    assert [sentence for delta in asked.deltas() for sentence in delta.sentences] == ['I go.', 'Then I wait']
    quiet = talk.send()
    quiet.result()
    assert not any(delta.sentences for delta in quiet.deltas())


def test_higher_priorities_run_first(talk: Talk, engine: ScriptedEngine) -> None:
    engine.prefill_delay = 60.0
    running = talk.send('running')
    wait_for(lambda: engine.prefilled)
    low, high = talk.send('low'), talk.send('high', priority=1)
    engine.prefill_delay = 0.0
    running.handle.cancel()
    low.result(), high.result()
    assert [dialogue[0]['content'] for dialogue in engine.dialogues] == ['running', 'high', 'low']


@pytest.mark.parametrize(('admission', 'reason'), [
    (Admission('reject'), RefusalReason.BUSY), (Admission('queue', 1), RefusalReason.QUEUE_FULL),
    (Admission('preempt'), RefusalReason.BUSY)])
def test_who_is_refused_leaves_no_trace(talk: Talk, admission: Admission, reason: RefusalReason) -> None:
    waiting = talk.waiting(priority=1)
    talk.admission = admission
    changes = talk.changes
    with pytest.raises(Refusal) as refused:
        talk.send()
    assert refused.value.reason is reason
    assert (talk.service.waiting, talk.changes) == (1, changes)
    waiting.handle.cancel()


def test_who_was_promised_an_answer_is_not_refused(talk: Talk) -> None:
    talk.waiting()
    talk.admission = Admission('queue', 1)
    asked = Asked(talk.service, ChatRequest(prompt='Hi'), is_accepted=True)
    assert talk.service.waiting == 2
    asked.handle.cancel()


def test_who_was_promised_an_answer_is_told_that_the_service_has_stopped(talk: Talk) -> None:
    talk.service.stop('the end')
    asked = Asked(talk.service, ChatRequest(prompt='Hi'), is_accepted=True)
    assert asked.result().error_code is ErrorCode.DEACTIVATED
    with pytest.raises(Refusal) as refused:
        talk.send()
    assert refused.value.reason is RefusalReason.INACTIVE
    talk.service.open()
    assert talk.send().result().finish_reason is FinishReason.STOP


def test_a_request_may_bring_its_id(talk: Talk) -> None:
    request_id = uuid4()
    assert Asked(talk.service, ChatRequest(prompt='Hi'), request_id=request_id).handle.id == request_id
    assert talk.send().handle.id != talk.send().handle.id


def test_who_runs_and_how_many_wait_is_told(talk: Talk, engine: ScriptedEngine) -> None:
    engine.prefill_delay = 60.0
    running = talk.send()
    waiting = talk.send()
    assert (talk.service.running, talk.service.waiting) == ([running.handle], 1)
    changes = talk.changes
    waiting.handle.cancel()
    assert (talk.service.waiting, talk.changes) == (0, changes + 1)
    running.handle.cancel()
    running.result()
    assert (talk.service.running, talk.changes) == ([], changes + 2)


def test_a_running_request_may_finish_when_the_service_stops(talk: Talk, engine: ScriptedEngine) -> None:
    running, waiting = talk.endless(), talk.send()
    stopping = talk.stop_beside(finish_running=True)
    assert waiting.result().error_code is ErrorCode.DEACTIVATED
    engine.words, engine.stands_at = ['word '] * 3, None
    assert running.result().finish_reason is FinishReason.STOP
    stopping.join()


def test_a_cancel_does_not_wait_for_the_tokenizer(talk: Talk, engine: ScriptedEngine) -> None:
    is_stuck, free = Event(), Event()

    def slow(_: Any, **__: Any) -> list[int]:
        is_stuck.set()
        free.wait(60)
        return [1]

    encode, engine.tokenizer.encode_chat = engine.tokenizer.encode_chat, slow
    for fields in ({}, {'conversation_id': 'kitchen'}):
        asked = talk.send('slow', **fields)
        assert is_stuck.wait(10)
        is_stuck.clear()
        asked.handle.cancel()
        assert asked.result().finish_reason is FinishReason.CANCELED
    engine.tokenizer.encode_chat = encode
    assert talk.send().result().finish_reason is FinishReason.STOP
    free.set()


def test_a_listener_may_end_its_request(talk: Talk, engine: ScriptedEngine) -> None:
    engine.words = ['word '] * 50
    handles: list[Any] = []
    events: list[ChatEvent] = []

    def listener(event: ChatEvent) -> None:
        events.append(event)
        if isinstance(event, TextDelta):
            wait_for(lambda: handles)
            handles[0].cancel()

    handles.append(talk.service.submit(ChatRequest(prompt='Hi'), listener))
    assert handles[0].wait(10).finish_reason is FinishReason.CANCELED
    assert isinstance(events[-1], Finished)


def test_a_listener_that_fails_ends_nothing(talk: Talk, core_log: pytest.LogCaptureFixture) -> None:
    def listener(_: ChatEvent) -> None:
        raise RuntimeError('nobody there')

    with core_log.at_level(logging.ERROR):
        result = talk.service.submit(ChatRequest(prompt='Hi'), listener).wait(10)
    assert result is not None and result.text == 'Robots need maps.'
    assert [record.getMessage() for record in core_log.records] == [
        "the listener of a request has failed: RuntimeError('nobody there')"]
    assert talk.send().result().finish_reason is FinishReason.STOP


def test_an_end_that_cannot_be_noted_ends_nothing(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError('no')

    monkeypatch.setattr(talk.service.conversations, 'end', fail)
    assert talk.send().result().text == 'Robots need maps.'
    monkeypatch.undo()
    assert talk.send().result().text == 'Robots need maps.'


def test_failures_are_told_until_an_answer_comes(talk: Talk, engine: ScriptedEngine) -> None:
    engine.fails_at = 1
    talk.send().result()
    assert 'the decoder broke' in talk.service.metrics.failure and talk.service.metrics.failed == 1
    engine.fails_at = None
    talk.send('x' * 200).result()  # too long: it has not come to the backend
    assert talk.service.metrics.failure
    talk.send().result()
    assert not talk.service.metrics.failure


def test_a_time_limit_that_expires_at_once_ends_the_request(talk: Talk) -> None:
    waiting = talk.waiting()
    for _ in range(50):
        assert talk.send(time_limit=1e-9).result().error_code is ErrorCode.TIME_LIMIT
        talk.admission = Admission('queue', 100)
    waiting.handle.cancel()


def test_requests_from_many_threads_all_end_once(talk: Talk, engine: ScriptedEngine) -> None:
    talk.admission = Admission('queue', 1000)
    asked: list[Asked] = []

    def ask(number: int) -> None:
        for i in range(10):
            one = talk.send(conversation_id=f'{number % 3}' if i % 2 else '', priority=i % 3)
            if i % 3 == 0:
                one.handle.cancel()
            asked.append(one)

    threads = [Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in asked:
        assert one.result().error_code is ErrorCode.NONE
        assert [isinstance(event, Finished) for event in one.events] == [False] * (len(one.events) - 1) + [True]
    assert (talk.service.running, talk.service.waiting) == ([], 0)
    assert len(asked) == 80


def test_requests_that_preempt_each_other_all_end(talk: Talk) -> None:
    talk.admission = Admission('preempt')
    asked: list[Asked] = []

    def ask() -> None:
        for _ in range(25):
            asked.append(talk.send())

    threads = [Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {one.result().error_code for one in asked} <= {ErrorCode.NONE, ErrorCode.PREEMPTED}
    assert len(asked) == 100


def test_stop_waits_until_all_have_heard_of_the_end(talk: Talk) -> None:
    running, waiting = talk.endless(), talk.send()
    begin = monotonic()
    talk.service.stop('the end')
    assert isinstance(running.events[-1], Finished) and isinstance(waiting.events[-1], Finished)
    assert running.handle.accepted_at < begin


def test_close_gives_back_the_engine(engine: ScriptedEngine) -> None:
    talk = Talk(engine)
    running = talk.endless()
    talk.service.close()
    assert engine.is_closed and running.result().error_code is ErrorCode.DEACTIVATED


def test_a_closed_service_is_held_by_nobody(engine: ScriptedEngine) -> None:
    gc.disable()  # a cycle would be found sooner or later
    try:
        talk = Talk(engine)
        asked = [talk.send('one', conversation_id='kitchen'), talk.send('two')]
        for one in asked:
            one.result()
        asked += [talk.endless(), talk.send('four')]
        service = ref(talk.service)
        talk.service.close()
        del talk.service
        assert service() is None
        assert all(one.handle.result for one in asked)
    finally:
        gc.enable()
