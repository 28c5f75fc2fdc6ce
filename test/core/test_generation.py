# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Generation over an engine that follows a script."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given, strategies as st
import pytest
from scripted_engine import BYTES_VOCAB, EOS, ScriptedEngine, TokenCache

from tinychat_core._tinychat import CancelFlag
from tinychat_core.errors import InvalidParameterError, PromptTooLongError
from tinychat_core.generation import Generation, NO_TOKEN, Token
from tinychat_core.sampling import SamplingParams


def generate(engine: ScriptedEngine, prompt: Sequence[int] = (1, 2, 3), cache: Any = None, cancel: Any = None,
             earlier: Sequence[int] = (), **params: Any) -> Generation:
    return Generation(engine, prompt, SamplingParams(**params), cache, cancel, earlier=earlier)


def test_tokens_come_with_their_text_number_and_the_reason_of_the_end() -> None:
    assert [*generate(ScriptedEngine([*b'Hi', EOS]))] == [
        Token('H', ord('H'), 0, None), Token('i', ord('i'), 1, None), Token('', EOS, 2, 'stop')]


def test_after_the_end_there_is_nothing() -> None:
    generation = generate(ScriptedEngine([EOS]))
    assert len([*generation]) == 1 and [*generation] == []


def test_max_new_tokens_ends_with_length() -> None:
    assert [(t.text, t.finish_reason) for t in generate(ScriptedEngine(b'abcd'), max_new_tokens=2)] == [
        ('a', None), ('b', 'length')]


def test_the_context_ends_with_length_when_it_is_full() -> None:
    generation = generate(ScriptedEngine(b'abcdefgh', context_length=5))
    assert [(t.text, t.finish_reason) for t in generation] == [('a', None), ('b', None), ('c', 'length')]


def test_a_prompt_that_fills_the_context_has_one_token() -> None:
    assert [t.finish_reason for t in generate(ScriptedEngine(b'abc', context_length=3))] == ['length']


def test_a_prompt_longer_than_the_context_is_refused_at_once() -> None:
    with pytest.raises(PromptTooLongError, match=r'4 tokens.* only 3'):
        generate(ScriptedEngine(b'a', context_length=3), prompt=[1, 2, 3, 4])


def test_a_prompt_that_does_not_fit_behind_the_cache_is_refused_at_once() -> None:
    cache = TokenCache()
    cache.tokens = [7, 7]
    with pytest.raises(PromptTooLongError):
        generate(ScriptedEngine(b'a', context_length=4), cache=cache)


@pytest.mark.parametrize('prompt', [[], [BYTES_VOCAB], [-1]])
def test_an_impossible_prompt_is_refused_at_once(prompt: list[int]) -> None:
    with pytest.raises(InvalidParameterError):
        generate(ScriptedEngine(b'a'), prompt=prompt)


def test_the_cache_is_appended_to_and_told_apart() -> None:
    cache = TokenCache()
    cache.tokens = [9, 9]
    generation = generate(ScriptedEngine([*b'ab', EOS]), prompt=[1, 2, 3], cache=cache)
    assert (generation.reused_tokens, generation.prompt_tokens) == (2, 5)
    assert ''.join(token.text for token in generation) == 'ab'
    assert cache.tokens == [9, 9, 1, 2, 3, *b'ab'] and generation.ids == [*b'ab', EOS]


def test_a_character_over_several_tokens_is_whole() -> None:
    texts = [token.text for token in generate(ScriptedEngine([*'é🤖'.encode(), EOS]))]
    assert texts == ['', 'é', '', '', '', '🤖', '']


def test_a_character_that_the_length_cuts_off_is_marked() -> None:
    assert [t.text for t in generate(ScriptedEngine('🤖'.encode()), max_new_tokens=2)] == ['', '\ufffd']


def test_a_stop_text_over_several_tokens_is_no_part_of_the_answer() -> None:
    generation = generate(ScriptedEngine(b'yes. END more'), stop=(' END',))
    assert [token.text for token in generation] == ['y', 'e', 's', '.', '', '', '', '']
    assert (generation.text, generation.finish_reason) == ('yes.', 'stop')


@pytest.mark.parametrize('reason', ['stop', 'length', 'canceled'])
def test_what_was_held_back_for_a_stop_text_comes_at_the_end(reason: str) -> None:
    script = [*b'a EN', *([EOS] if reason == 'stop' else b'x')]
    engine = ScriptedEngine(script, canceled_at=4 if reason == 'canceled' else None)
    last = [*generate(engine, stop=(' END',), max_new_tokens=4 if reason == 'length' else 99)][-1]
    assert (last.text, last.finish_reason) == (' EN', reason)


def test_the_templates_stop_text_ends_an_answer_too() -> None:
    engine = ScriptedEngine(b'ok\nUser: hm')
    engine.tokenizer.stop_texts = ('\nUser:',)
    generation = generate(engine, stop=('zzz',))
    assert ''.join(token.text for token in generation) == 'ok'


def test_a_flag_that_is_set_before_the_first_token_cancels() -> None:
    cancel = CancelFlag()
    cancel.set()
    engine = ScriptedEngine(b'abc')
    assert [*generate(engine, cancel=cancel)] == [Token('', NO_TOKEN, 0, 'canceled')] and engine.calls == 0


def test_a_flag_that_is_set_between_tokens_cancels_before_the_next_one() -> None:
    cancel = CancelFlag()
    engine = ScriptedEngine(b'abc')
    generation = generate(engine, cancel=cancel)
    first = next(generation)
    cancel.set()
    assert [first, *generation] == [Token('a', ord('a'), 0, None), Token('', NO_TOKEN, 1, 'canceled')]
    assert engine.calls == 1 and generation.text == 'a'


@pytest.mark.parametrize('step', [0, 2])
def test_an_engine_that_was_stopped_in_a_step_cancels(step: int) -> None:
    generation = generate(ScriptedEngine(b'abcd', canceled_at=step))
    assert [token.finish_reason for token in generation] == [None] * step + ['canceled']
    assert generation.text == 'abcd'[:step]


def test_the_seed_that_was_used_is_told_and_repeats_the_answer() -> None:
    def answer(seed: int | None) -> Generation:
        generation = generate(ScriptedEngine(b'a' * 40), temperature=5.0, max_new_tokens=40, seed=seed)
        assert len([*generation]) <= 40
        return generation

    first = answer(None)
    assert answer(first.seed).ids == first.ids
    assert answer(first.seed ^ 1).ids != first.ids


def test_the_penalty_counts_the_prompt_the_answer_and_what_the_cache_held() -> None:
    generation = generate(ScriptedEngine(b'abca'), prompt=[*b'a'], earlier=[*b'b'], max_new_tokens=4,
                          repetition_penalty=100.0)
    # Of each step's script only `c` is new, once; the other steps take the lowest id that was not seen.
    assert [t.id for t in generation] == [0, 1, ord('c'), 2]


@pytest.mark.parametrize(('penalties', 'ids'), [
    ({'frequency_penalty': 2.0, 'presence_penalty': 2.0}, [*b'aaa', 0, 1]),  # a's logit is 9, the others' are 1
    ({'frequency_penalty': 2.0}, [*b'aaaa', 0]),
    ({'presence_penalty': 2.0}, [*b'aaaaa']),
    ({'frequency_penalty': -2.0}, [*b'aaaaa']),
    ({'logit_bias': {ord('a'): -9}}, [0] * 5),
    ({'logit_bias': {ord('b'): 9, ord('a'): 2}, 'frequency_penalty': 2.0}, [*b'ababa'])], ids=str)
@pytest.mark.parametrize('speculates', [False, True])
def test_the_penalties_of_openai_count_the_answer_alone(penalties: dict[str, Any], ids: list[int],
                                                       speculates: bool) -> None:
    engine = ScriptedEngine(b'a' * 20)
    engine.speculates = speculates
    generation = generate(engine, prompt=[*b'aaaaaaa'], earlier=[*b'aaaa'], max_new_tokens=5, **penalties)
    assert [t.id for t in generation] == ids


@given(st.text(max_size=30), st.lists(st.text(min_size=1, max_size=3), max_size=2), st.integers(1, 40))
def test_the_texts_of_the_tokens_are_the_text(answer: str, stop: list[str], limit: int) -> None:
    generation = generate(ScriptedEngine([*answer.encode(), EOS]), stop=stop, max_new_tokens=limit)
    tokens = [*generation]
    assert ''.join(token.text for token in tokens) == generation.text
    assert [token.index for token in tokens] == [*range(len(tokens))]
    assert [token.finish_reason is None for token in tokens] == [True] * (len(tokens) - 1) + [False]
    if generation.finish_reason == 'stop' and generation.ids[-1] == EOS:
        assert generation.text == answer


def test_a_long_prompt_is_read_in_parts_which_are_told() -> None:
    engine = ScriptedEngine([ord('a'), EOS], context_length=2000)
    generation = generate(engine, [1] * 1024 + [2])
    told: list[float] = []
    generation.on_prefill = told.append
    assert next(generation).text == 'a'
    assert [len(part) for part in engine.prefilled] == [512, 504, 9]  # not 1: few tokens are computed in another way
    assert told == [512 / 1025, 1016 / 1025]


def test_a_prompt_of_one_part_is_read_at_once() -> None:
    engine = ScriptedEngine([ord('a')], context_length=2000)
    next(generate(engine, [1] * 512))
    assert [len(part) for part in engine.prefilled] == [512]


@pytest.mark.parametrize('continues, keeps', [(False, False), (True, True)])
def test_a_space_at_the_beginning_belongs_to_an_answer_that_is_continued(continues: bool, keeps: bool) -> None:
    engine: Any = ScriptedEngine([EOS])
    asked: list[bool] = []
    detokenizer = engine.tokenizer.detokenizer
    engine.tokenizer.detokenizer = lambda keep_leading_space=False: asked.append(keep_leading_space) or detokenizer()
    Generation(engine, [1], SamplingParams(), continues=continues)
    assert asked == [keeps]
