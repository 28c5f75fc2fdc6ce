# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Several requests at once: they share forward passes, and each ends in its own way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from threading import Event, Thread
from time import sleep
from typing import Any

import pytest
from scripted_engine import ScriptedEngine
from talking import Asked, Talk
from waiting import wait_for

from tinychat_core.constraint import OutputConstraint
from tinychat_core.errors import BackendFailedError, InvalidParameterError
from tinychat_core.sampling import SamplingParams
from tinychat_core.serving import conversations
from tinychat_core.serving.request_queue import Admission
from tinychat_core.serving.results import ErrorCode, Finished, FinishReason, Prefill, Queued

PLACES = 4
LONG = SamplingParams(max_new_tokens=100_000)


@pytest.fixture
def engine() -> ScriptedEngine:
    engine = ScriptedEngine(context_length=100_000)
    engine.parallel = PLACES
    engine.words, engine.is_endless = ['word '], True
    engine.tokenizer.encode_within = lambda text: [*text.encode()]
    engine.delay = 0.002
    return engine


@pytest.fixture
def talk(engine: ScriptedEngine) -> Iterator[Talk]:
    talk = Talk(engine, 1)
    yield talk
    engine.stands_at = None
    talk.service.close()


def neighbours(talk: Talk, count: int = PLACES - 1) -> list[Asked]:
    """Return requests in the middle of their answers."""
    asked = [talk.send(f'neighbour {i}', LONG) for i in range(count)]
    for each in asked:
        each.await_text()
    return asked


def go_on(asked: list[Asked]) -> None:
    """Check that requests are still being answered, and end them."""
    seen = [len(each.events) for each in asked]
    wait_for(lambda: all(len(each.events) > before for each, before in zip(asked, seen, strict=True)))
    for each in asked:
        assert each.handle.cancel()
    assert {each.result().finish_reason for each in asked} == {FinishReason.CANCELED}


def test_as_many_as_there_are_places_share_a_pass(talk: Talk, engine: ScriptedEngine) -> None:
    asked = neighbours(talk, PLACES)
    assert [handle.id for handle in talk.service.running] == [each.handle.id for each in asked]
    waiting = talk.send('waiting')
    assert waiting.events == [Queued(PLACES)] and talk.service.waiting == 1
    wait_for(lambda: engine.passes[-1] == PLACES)
    assert max(engine.passes) == PLACES
    asked[2].handle.cancel()
    waiting.await_text()
    go_on([asked[0], asked[1], asked[3], waiting])


def test_an_answer_comes_and_goes_beside_others(talk: Talk) -> None:
    beside = neighbours(talk)
    for length in (1, 2, 30):
        result = talk.send(params=SamplingParams(max_new_tokens=length)).result()
        assert (result.finish_reason, result.new_tokens) == (FinishReason.LENGTH, length)
        assert 0 <= result.queue_time < result.queue_time + result.time_to_first_token
    go_on(beside)


def failing(error: BaseException) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise error
    return fail


def of_params(**params: Any) -> Callable[[Talk], Asked]:
    return lambda talk: talk.send('ending', SamplingParams(**params))


def canceled(talk: Talk) -> Asked:
    asked = talk.send('ending', LONG)
    asked.await_text()
    asked.handle.cancel()
    return asked


def lost(talk: Talk) -> Asked:
    asked = talk.send('ending', LONG)
    asked.await_text()
    asked.handle.abort(ErrorCode.CLIENT_LOST, 'its client has gone')
    return asked


def refused_by_its_template(talk: Talk) -> Asked:
    talk.engine.tokenizer.encode_chat = failing(InvalidParameterError('the template refuses these messages'))
    return talk.send('ending')


def without_cache(error: BaseException) -> Callable[[Talk], Asked]:
    def send(talk: Talk) -> Asked:
        talk.engine.new_cache = failing(error)
        return talk.send('ending')
    return send


@pytest.mark.parametrize(('act', 'reason', 'code'), [
    (of_params(max_new_tokens=5), FinishReason.LENGTH, ErrorCode.NONE),
    (of_params(stop=('word word word',)), FinishReason.STOP, ErrorCode.NONE),
    (canceled, FinishReason.CANCELED, ErrorCode.NONE),
    (lost, FinishReason.ABORTED, ErrorCode.CLIENT_LOST),
    (lambda talk: talk.send('ending', LONG, time_limit=0.2), FinishReason.ABORTED, ErrorCode.TIME_LIMIT),
    (refused_by_its_template, FinishReason.ABORTED, ErrorCode.INVALID_GOAL),
    (lambda talk: talk.send('x' * 100_001), FinishReason.ABORTED, ErrorCode.PROMPT_TOO_LONG),
    (without_cache(MemoryError()), FinishReason.ABORTED, ErrorCode.OUT_OF_MEMORY),
    (without_cache(BackendFailedError('no memory on the device')), FinishReason.ABORTED, ErrorCode.BACKEND_FAILED),
    (of_params(regex='word word', max_new_tokens=1), FinishReason.ABORTED, ErrorCode.STRUCTURE_INCOMPLETE),
], ids=['length', 'stop', 'canceled', 'client lost', 'time limit', 'template', 'too long', 'no memory',
        'no device memory', 'structure'])
def test_an_end_is_its_own(talk: Talk, act: Callable[[Talk], Asked], reason: FinishReason, code: ErrorCode) -> None:
    beside = neighbours(talk)
    result = act(talk).result()
    assert (result.finish_reason, result.error_code) == (reason, code)
    go_on(beside)


def test_a_draw_that_fails_ends_only_its_own_answer(talk: Talk, engine: ScriptedEngine) -> None:
    beside = neighbours(talk)
    run = engine.run

    def fail_last(steps: Any, cancel: Any) -> Any:
        drawn = run(steps, cancel)
        return [*drawn[:-1], type(drawn[-1])((), 'the logits are not finite numbers')] if len(steps) == 4 else drawn

    talk.service._scheduler._run = fail_last
    result = talk.send('ending', LONG).result()
    assert result.error_code is ErrorCode.BACKEND_FAILED and 'not finite' in result.error_message
    talk.service._scheduler._run = run
    go_on(beside)


def test_a_failure_of_the_device_ends_all_that_run_and_not_what_waits(talk: Talk, engine: ScriptedEngine) -> None:
    asked = neighbours(talk, PLACES)
    waiting = talk.send('waiting', SamplingParams(max_new_tokens=2))
    run, failed = talk.service._scheduler._run, Event()

    def fail_once(steps: Any, cancel: Any) -> Any:
        if len(steps) == PLACES and not failed.is_set():
            failed.set()
            raise BackendFailedError('the device has failed')
        return run(steps, cancel)

    talk.service._scheduler._run = fail_once
    for each in asked:
        result = each.result()
        assert (result.finish_reason, result.error_code) == (FinishReason.ABORTED, ErrorCode.BACKEND_FAILED)
        assert result.text.startswith('word ')
    assert waiting.result().finish_reason is FinishReason.LENGTH
    assert talk.service.metrics.failed == PLACES


def test_a_cancel_in_the_pass_that_ends_the_answer(talk: Talk, engine: ScriptedEngine) -> None:
    """The answer is whole when the cancel comes: it has ended by itself, once."""
    beside = neighbours(talk)
    run = engine.run
    asked: list[Asked] = []

    def cancel_within(steps: Any, cancel: Any) -> Any:
        drawn = run(steps, cancel)
        if asked and len(steps) == PLACES:
            asked[0].handle.cancel()
        return drawn

    talk.service._scheduler._run = cancel_within
    asked.append(talk.send('ending', SamplingParams(max_new_tokens=1)))
    assert asked[0].result().finish_reason is FinishReason.LENGTH
    go_on(beside)


def test_a_structure_that_takes_long_to_follow_holds_up_no_other_answer(
        talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    accept, entered, go = OutputConstraint.accept, Event(), Event()

    def slow(*arguments: Any, **options: Any) -> bool:
        entered.set()
        assert go.wait(30)
        return accept(*arguments, **options)

    monkeypatch.setattr(OutputConstraint, 'accept', slow)
    beside = neighbours(talk)
    asked = talk.send('structured', SamplingParams(regex='(word ){3}'))
    assert entered.wait(30)
    go_on(beside)
    assert asked.handle.result is None
    go.set()
    result = asked.result()
    assert (result.text, result.finish_reason) == ('word word word ', FinishReason.STOP)


def test_questions_of_one_conversation_follow_each_other(talk: Talk, engine: ScriptedEngine) -> None:
    engine.words, engine.is_endless = ['yes'], False
    first, second = (talk.send(prompt, conversation_id='a') for prompt in ('one', 'two'))
    assert (first.result().text, second.result().text) == ('yes', 'yes')
    assert [message['content'] for message in engine.dialogues[-1]] == ['one', 'yes', 'two']
    assert max(engine.passes) == 1


def test_a_conversation_is_not_forgotten_while_it_is_answered(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    running = talk.send('one', LONG, conversation_id='a')
    running.await_text()
    monkeypatch.setattr(conversations, 'MAX_BYTES', 1)
    for name in 'bcd':
        talk.send(params=SamplingParams(max_new_tokens=1), conversation_id=name).result()
    assert 'a' in talk.service.conversations._talks and len(talk.service.conversations._talks) == 1
    go_on([running, *neighbours(talk)])


def test_requests_with_one_audience_follow_each_other(talk: Talk) -> None:
    first = talk.send('first', LONG, audience='person')
    first.await_text()
    second, other = talk.send('second', LONG, audience='person'), talk.send('other', LONG)
    other.await_text()
    assert second.events == [Queued(1)]
    first.handle.cancel()
    second.await_text()
    go_on([second, other])


def test_a_prompt_is_read_in_pieces_beside_others(talk: Talk, engine: ScriptedEngine) -> None:
    beside = neighbours(talk)
    engine.prefilled.clear()
    asked = talk.send('x' * 3000, SamplingParams(max_new_tokens=1))
    assert asked.result().new_tokens == 1
    pieces = [len(piece) for piece in engine.prefilled]
    assert sum(pieces) == 3003 and len(pieces) > 6 and max(pieces) <= engine.longest_piece
    assert min(pieces) > 8  # shorter ones would be computed in another way than alone
    progress = [event.progress for event in asked.events if isinstance(event, Prefill)]
    assert progress == sorted(progress) and len(progress) == len(pieces)
    go_on(beside)


def test_prompts_of_equal_priority_take_turns_and_higher_ones_go_first(talk: Talk, engine: ScriptedEngine) -> None:
    run, begun, sent = engine.run, Event(), Event()
    asked: list[Asked] = []

    def hold(steps: Any, cancel: Any) -> Any:
        """Let the three others be sent in the first pass of the blocker, and be prepared in its second one."""
        if len(engine.passes) == 0:
            begun.set()
            sent.wait(30)
        elif len(engine.passes) == 1:
            wait_for(lambda: len(engine.dialogues) == 4)
            sleep(0.2)  # from the dialogue to the tokens
            blocker.handle.cancel()
            drawn = run(steps, None)
            engine.prefilled.clear()
            return drawn
        return run(steps, None)

    talk.service._scheduler._run = hold
    blocker = talk.send('blocker', LONG)
    assert begun.wait(30)
    asked = [talk.send(letter * 2000, SamplingParams(max_new_tokens=1), priority=priority)
             for letter, priority in (('a', 0), ('b', 0), ('c', 1))]
    sent.set()
    for each in asked:
        each.result()
    # Of one of the prompts a piece may have been read before.
    read = ''.join(chr(max(piece, key=piece.count)) for piece in engine.prefilled)
    assert read.startswith('ccc') and 'c' not in read.strip('c')
    equal = read.strip('c')
    assert all(one != other for one, other in pairwise(equal[:2 * min(equal.count('a'), equal.count('b'))]))


def test_a_prompt_that_waits_for_its_turn_can_be_canceled(talk: Talk, engine: ScriptedEngine) -> None:
    engine.prefill_delay = 0.2
    first = talk.send('x' * 90_000, priority=1)
    wait_for(lambda: engine.prefilled)
    second = talk.send('y' * 2000)
    wait_for(lambda: second.events)
    second.handle.cancel()
    assert second.result().finish_reason is FinishReason.CANCELED
    assert first.handle.cancel() and first.result().new_tokens == 0


@pytest.fixture
def held(talk: Talk, engine: ScriptedEngine) -> Iterator[tuple[Asked, Event]]:
    """Return a request whose prompt is read in a pass that ends when the event is set."""
    run, begun, go = engine.run, Event(), Event()

    def hold(steps: Any, cancel: Any) -> Any:
        begun.set()
        assert go.wait(30)
        return run(steps, cancel)

    talk.service._scheduler._run = hold
    asked = talk.send('held', LONG)
    assert begun.wait(30)
    yield asked, go
    go.set()


def test_a_cancel_does_not_wait_for_a_pass_of_others(talk: Talk, held: tuple[Asked, Event]) -> None:
    """Neither one whose prompt waits for its turn, nor one whose prompt is prepared."""
    ready, prepared = talk.send('ready'), Event()
    wait_for(lambda: all(answer.is_ready for answer in talk.service._scheduler._answers), 30)
    tokens = talk.engine.tokenizer.encode_chat

    def slow(*arguments: Any, **options: Any) -> Any:
        assert prepared.wait(30)
        return tokens(*arguments, **options)

    talk.engine.tokenizer.encode_chat = slow
    asked, go = held
    for each in (ready, talk.send('in preparation')):
        wait_for(lambda each=each: each.events, 30)
        assert each.handle.cancel()
        assert each.result().finish_reason is FinishReason.CANCELED
        assert each.handle not in talk.service.running
    assert asked.handle.result is None
    prepared.set()
    go.set()
    go_on([asked])


def test_who_was_canceled_in_a_pass_does_not_wait_for_the_next_one(talk: Talk, engine: ScriptedEngine) -> None:
    first, other = neighbours(talk, 2)
    run, entered, go = engine.run, Event(), Event()

    def cancel_within(steps: Any, cancel: Any) -> Any:
        if len(steps) == 2:
            first.handle.cancel()
        else:
            entered.set()
            assert go.wait(30)
        return run(steps, cancel)

    talk.service._scheduler._run = cancel_within
    assert entered.wait(30)
    assert first.result().finish_reason is FinishReason.CANCELED
    go.set()
    go_on([other])


def test_a_cancel_interrupts_a_pass_of_several(talk: Talk, engine: ScriptedEngine) -> None:
    """Those that remain are computed again at once, with the same steps; nobody else joins them."""
    engine.words = [f'{i} ' for i in range(1000)]
    asked = neighbours(talk, 3)
    run, passes, entered = engine.run, list[Any](), Event()

    def hold(steps: Any, cancel: Any) -> Any:
        passes.append(steps)
        if len(steps) == 3 and not entered.is_set():
            entered.set()
            wait_for(cancel.is_set, 30)
        return run(steps, cancel)

    talk.service._scheduler._run = hold
    assert entered.wait(30)
    newcomer = talk.send('newcomer', LONG)
    wait_for(lambda: all(answer.is_ready for answer in talk.service._scheduler._answers), 30)
    assert asked[1].handle.cancel()
    assert asked[1].result().finish_reason is FinishReason.CANCELED
    newcomer.await_text()
    interrupted, again = next((one, other) for one, other in pairwise(passes) if len(one) == 3)
    assert len(again) == 2 and all(step in interrupted for step in again)  # in the order of their turns
    talk.service._scheduler._run = run
    go_on([asked[0], asked[2], newcomer])
    for each in (asked[0], asked[2], newcomer):
        words = each.result().text.split()
        assert words == [str(i % 1000) for i in range(len(words))]


def test_a_failed_preparation_does_not_wait_for_a_pass_of_others(talk: Talk, held: tuple[Asked, Event]) -> None:
    asked = talk.send('x' * 200_000)
    assert asked.result().error_code is ErrorCode.PROMPT_TOO_LONG
    assert held[0].handle.result is None


def test_each_of_many_canceled_requests_ends_once(talk: Talk) -> None:
    """From threads of their own, in any state."""
    go_on(neighbours(talk, 1))
    for round_ in range(20):
        asked = [talk.send(f'{round_} {i}', LONG) for i in range(2 * PLACES)]
        threads = [Thread(target=each.handle.cancel) for each in asked for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for each in asked:
            assert each.result().finish_reason is FinishReason.CANCELED
            assert [isinstance(event, Finished) for event in each.events].count(True) == 1
    assert talk.service.running == [] and talk.service.waiting == 0 and talk.service._scheduler._answers == []


def test_a_newer_request_takes_one_place(talk: Talk) -> None:
    asked = neighbours(talk, PLACES)
    talk.admission = Admission('preempt')
    newer = talk.send('newer', LONG)
    assert asked[0].result().error_code is ErrorCode.PREEMPTED
    newer.await_text()
    go_on([*asked[1:], newer])


def test_no_cache_is_taken_from_an_answer(talk: Talk, engine: ScriptedEngine) -> None:
    """Conversations keep caches, and there are no more than places."""
    for name in 'abc':
        talk.send(params=SamplingParams(max_new_tokens=1), conversation_id=name).result()
    go_on(neighbours(talk, PLACES))


def test_a_stop_ends_all(talk: Talk) -> None:
    asked = [*neighbours(talk, PLACES), talk.send('waiting')]
    talk.service.stop('the end')
    assert {each.result().error_code for each in asked} == {ErrorCode.DEACTIVATED}
    assert talk.service.running == [] and talk.service.waiting == 0
