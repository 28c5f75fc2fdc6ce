# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Conversation: what is computed again, and what happens when the context is full."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
import math
from typing import Any
import weakref

import pytest
from scripted_engine import EOS, ScriptedEngine
from talking import answer_to

from tinychat_core.errors import PromptTooLongError
from tinychat_core.generation import SHORTEST_PIECE
from tinychat_core.sampling import SamplingParams
from tinychat_core.serving.conversation import Conversation
from tinychat_core.serving.kv_cache_pool import KVCachePool

SYSTEM, USER, ASSISTANT = 1, 2, 3


def conversation(script: Any, system_prompt: str = '', **engine: Any) -> tuple[Conversation, ScriptedEngine]:
    scripted: Any = ScriptedEngine(script, **engine)
    return Conversation(scripted, system_prompt, KVCachePool(scripted, 1)), scripted


def ask(conversation: Conversation, question: str, max_new_tokens: int = 8) -> str:
    return ''.join(token.text for token in answer_to(conversation, question, SamplingParams(max_new_tokens)))


def test_a_follow_up_prefills_only_what_is_new() -> None:
    talk, engine = conversation([*b'yes', EOS, *b'no', EOS], 'sys')
    assert (ask(talk, 'first'), ask(talk, 'second')) == ('yes', 'no')
    assert engine.prefilled == [[SYSTEM, *b'sys', EOS, USER, *b'first', EOS, ASSISTANT],
                                [EOS, USER, *b'second', EOS, ASSISTANT]]


def test_the_reused_tokens_are_told() -> None:
    talk, _ = conversation([*b'yes', EOS, EOS])
    ask(talk, 'first')
    answer = answer_to(talk, 'second', SamplingParams())
    assert (answer.reused_tokens, answer.prompt_tokens) == (11, 21)


def test_an_answer_that_would_read_back_as_other_tokens_is_kept_as_it_was_drawn() -> None:
    talk, engine = conversation([ord('a'), 0xFF, EOS, *b'b', EOS, EOS])
    assert ask(talk, 'q') == 'a\ufffd'
    ask(talk, 'right')
    ask(talk, 'south')
    assert engine.prefilled[1:] == [[EOS, USER, *b'right', EOS, ASSISTANT], [EOS, USER, *b'south', EOS, ASSISTANT]]


def test_an_answer_that_a_stop_text_ended_goes_on_behind_its_text() -> None:
    talk, engine = conversation([*b'yes. Well', EOS])
    text = ''.join(token.text for token in answer_to(talk, 'q', SamplingParams(stop=('. W',))))
    ask(talk, 'right', 1)
    assert (text, engine.prefilled[1]) == ('yes', [EOS, USER, *b'right', EOS, ASSISTANT])


def test_an_answer_left_in_the_middle_is_its_turn() -> None:
    talk, engine = conversation([*b'abc', EOS])
    answer = answer_to(talk, 'q', SamplingParams())
    next(answer), next(answer)
    ask(talk, 'right', 1)
    assert engine.prefilled[1] == [ord('b'), EOS, USER, *b'right', EOS, ASSISTANT]


def test_a_question_without_any_answer_leaves_no_turn() -> None:
    talk, engine = conversation([*b'ab', EOS], canceled_at=0)
    assert ask(talk, 'q') == ''
    engine.canceled_at = None
    ask(talk, 'r')
    assert engine.prefilled[1] == [USER, *b'r', EOS, ASSISTANT]


@pytest.mark.parametrize(('question', 'computed'), [
    ('q', [USER, *b'q', EOS, ASSISTANT]),  # shorter than the end that is always computed
    ('a longer question', [*b'uestion', EOS, ASSISTANT]),
])
def test_the_end_of_a_prompt_that_the_cache_holds_already_is_computed_again(question: str, computed: list[int]) -> None:
    talk, engine = conversation([EOS, *b'a', EOS])
    assert (ask(talk, question), ask(talk, question)) == ('', 'a')
    assert engine.prefilled[1] == computed and (len(computed) == SHORTEST_PIECE or question == 'q')


def test_the_oldest_turns_go_until_half_the_context_is_free_and_the_system_prompt_stays() -> None:
    talk, engine = conversation([*b'a', EOS] * 7, 'sys', context_length=64)
    for question in ('one', 'two', 'six', 'ten'):  # a system prompt of 5 tokens, turns of 8
        ask(talk, question)
    assert talk.dropped_turns == 0
    answer = answer_to(talk, 'xxxxxxxxxxx', SamplingParams(16))
    system_prompt = [SYSTEM, *b'sys', EOS]
    assert (talk.dropped_turns, answer.reused_tokens) == (3, len(system_prompt) + 1)
    next(answer)
    assert system_prompt + engine.prefilled[4][-24:] == [
        *system_prompt, *b'ten', EOS, ASSISTANT, ord('a'), EOS, USER, *b'xxxxxxxxxxx', EOS, ASSISTANT]
    assert answer_to(talk, 'next', SamplingParams(8)).reused_tokens == 27
    assert talk.dropped_turns == 3


def test_answers_are_kept_as_drawn_when_turns_are_dropped() -> None:
    talk, engine = conversation([*b'a', EOS, *b'a', EOS, 0xFF, EOS, *b'a', EOS], context_length=48)
    for question in ('one', 'two', 'six', 'xxxxxxxxxx'):
        ask(talk, question, 12)
    assert talk.dropped_turns == 2
    assert 0xFF in engine.prefilled[3]


def test_a_new_system_prompt_is_read_before_all_turns() -> None:
    talk, engine = conversation([*b'a', EOS] * 2, 'old')
    ask(talk, 'q')
    list(answer_to(talk, 'r', SamplingParams(8), system_prompt='new'))
    assert engine.prefilled[1] == [*b'new', EOS, USER, *b'q', EOS, ASSISTANT, *b'a', EOS, USER, *b'r', EOS,
                                   ASSISTANT]


def test_a_question_that_never_fits_is_refused_and_leaves_no_trace() -> None:
    talk, _ = conversation([*b'a', EOS] * 2, context_length=20)
    ask(talk, 'one')
    with pytest.raises(PromptTooLongError):
        answer_to(talk, 'x' * 30, SamplingParams())
    assert ask(talk, 'two', 2) == 'a'
    assert talk.dropped_turns == 0


def test_the_penalty_counts_the_reused_tokens() -> None:
    talk, _ = conversation([*b'a', EOS, *b'ab', EOS])
    ask(talk, 'q')
    second = answer_to(talk, 'r', SamplingParams(max_new_tokens=1, repetition_penalty=100.0))
    assert next(second).id == 0  # Not `a`, which only the reused part of the prompt has.


def test_a_turn_keeps_nothing_of_the_generation_once_it_is_settled() -> None:
    talk, _ = conversation([*b'a', EOS] * 2)
    answer = answer_to(talk, 'one', SamplingParams(stop=('x' * 1000,)))
    list(answer)
    gone = weakref.ref(answer)
    del answer
    talk.settle()
    assert gone() is None
    assert talk.nbytes < 1000


def test_a_long_dialogue_that_meets_the_end_of_the_context_is_not_tokenized_again_and_again() -> None:
    turns = 200
    talk, engine = conversation([*b'a', EOS] * (turns + 2), context_length=8 * turns)
    calls = 0
    encode = engine.tokenizer.encode_chat

    def counted(messages: Sequence[Mapping[str, str]], **options: Any) -> list[int]:
        nonlocal calls
        calls += 1
        return encode(messages, **options)

    engine.tokenizer.encode_chat = counted
    while talk.dropped_turns == 0:
        calls = 0
        ask(talk, 'one', 8)
    assert calls < 2 * math.log2(turns)
