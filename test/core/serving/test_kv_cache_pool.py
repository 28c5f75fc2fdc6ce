# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""KVCachePool: who gets which cache, and what is still in it."""
from __future__ import annotations

from typing import Any

import pytest
from scripted_engine import EOS, ScriptedEngine
from talking import answer_to

from tinychat_core.errors import InvalidParameterError, PromptTooLongError
from tinychat_core.generation import SHORTEST_PIECE
from tinychat_core.sampling import SamplingParams
from tinychat_core.serving.conversation import Conversation
from tinychat_core.serving.kv_cache_pool import KVCachePool
from tinychat_core.vision.image_rows import FIRST_UNCUT_ROW


@pytest.fixture
def engine() -> Any:
    return ScriptedEngine([*b'a', EOS] * 9)


def ask(talk: Conversation, question: str) -> int:
    """Return how many tokens of the prompt were there already."""
    answer = answer_to(talk, question, SamplingParams())
    list(answer)
    return answer.reused_tokens


def test_owners_keep_their_caches_while_there_are_enough(engine: Any) -> None:
    pool = KVCachePool(engine, 2)
    caches = [pool.take('one'), pool.take('two')]
    assert [pool.take('one'), pool.take('two')] == caches
    assert caches[0] is not caches[1]


def test_who_came_last_longest_ago_loses_his_cache(engine: Any) -> None:
    pool = KVCachePool(engine, 2)
    one, two = pool.take('one'), pool.take('two')
    pool.take('one')
    assert pool.take('three') is two
    assert pool.take('one') is one


def test_a_released_cache_is_given_away_first(engine: Any) -> None:
    pool = KVCachePool(engine, 2)
    one, two = pool.take('one'), pool.take('two')
    pool.release('two')
    pool.release('nobody')
    assert pool.take('three') is two
    assert pool.take('one') is one


def test_a_prompt_that_is_too_long_takes_no_cache(engine: Any) -> None:
    pool = KVCachePool(engine, 1)
    one = Conversation(engine, 'system', pool)
    ask(one, 'q')
    with pytest.raises(PromptTooLongError):
        pool.generate('two', [1] * (engine.context_length + 1), SamplingParams())
    with pytest.raises(PromptTooLongError):
        answer_to(one, 'x' * engine.context_length, SamplingParams())
    assert ask(one, 'r') > len('system')


def test_a_pool_without_caches_is_refused(engine: Any) -> None:
    with pytest.raises(InvalidParameterError, match='at least one'):
        KVCachePool(engine, 0)


def test_conversations_go_on_side_by_side(engine: Any) -> None:
    pool = KVCachePool(engine, 2)
    first, second = Conversation(engine, '', pool), Conversation(engine, '', pool)
    ask(first, 'one'), ask(second, 'two')
    assert (ask(first, 'and now'), ask(second, 'and now')) == (7, 7)


def test_a_conversation_that_lost_its_cache_keeps_its_turns(engine: Any) -> None:
    pool = KVCachePool(engine, 1)
    first, second = Conversation(engine, '', pool), Conversation(engine, '', pool)
    ask(first, 'one'), ask(second, 'two')
    assert ask(first, 'and') == 1  # what begins every question
    assert bytes(engine.prefilled[-1][:3]) == b'one'


def test_a_system_prompt_is_shared_with_who_had_the_cache_before(engine: Any) -> None:
    pool = KVCachePool(engine, 1)
    ask(Conversation(engine, 'sys', pool), 'one')
    assert ask(Conversation(engine, 'sys', pool), 'another') == 6


def test_a_cache_whose_answer_still_runs_is_lent_to_nobody_else(engine: Any) -> None:
    pool = KVCachePool(engine, 2)
    running = pool.generate('one', [1, 2, 3], SamplingParams())
    next(running)
    ended = pool.generate('two', [1, 2, 3], SamplingParams())
    list(ended)
    one, two = pool.take('one'), pool.take('two')
    assert pool.take('three') is two
    assert pool.take('one') is one


def test_an_answer_that_was_abandoned_loses_its_cache_all_the_same(engine: Any) -> None:
    pool = KVCachePool(engine, 1)
    next(pool.generate('one', [1, 2, 3], SamplingParams()))
    following = pool.generate('two', [1, 2, *range(SHORTEST_PIECE)], SamplingParams())
    assert following.reused_tokens == 2


def test_no_prefix_ends_within_an_image_that_is_never_cut(engine: Any) -> None:
    pool = KVCachePool(engine, 1)
    image = [FIRST_UNCUT_ROW + i for i in range(4)]
    prompt = [1, 2, 3, *image, *range(SHORTEST_PIECE - 2)]
    list(pool.generate('one', prompt, SamplingParams()))
    assert pool.generate('two', prompt, SamplingParams()).reused_tokens == 3
