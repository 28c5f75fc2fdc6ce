# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""DRY ends repetitions of several tokens: the native sampler against a plain implementation of the definition."""
from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from hypothesis import given, strategies as st
import numpy as np
import numpy.typing as npt
from scripted_engine import EOS, ScriptedEngine, ScriptedTokenizer

from tinychat_core._tinychat import Sampler
from tinychat_core.dry import breakers
from tinychat_core.generation import Generation
from tinychat_core.sampling import SamplingParams

VOCAB = 6
BREAKER = 5
LOGITS = np.array([3.0, 2.5, 2.0, 1.5, 1.0, 0.5], np.float32)


def plain_penalties(tokens: Sequence[int], multiplier: float, base: float, allowed_length: int, last_n: int,
                    breaking: Collection[int] = (BREAKER,)) -> npt.NDArray[np.float64]:
    """Return what each token loses."""
    if last_n >= 0:
        tokens = tokens[max(0, len(tokens) - last_n):] if last_n else []
    lost = np.zeros(VOCAB)
    for end in range(1, len(tokens)):  # tokens[:end] ends like all of them
        length = 0
        while length < end and tokens[end - 1 - length] == tokens[-1 - length] not in breaking:
            length += 1
        following = tokens[end]
        if length >= allowed_length and following not in breaking:
            lost[following] = max(lost[following], multiplier * base ** (length - allowed_length))
    return lost


@given(st.lists(st.sampled_from([0, 1, 2, 3, BREAKER]), max_size=40), st.sampled_from([0.3, 1.0, 4.0]),
       st.sampled_from([1.0, 1.75]), st.integers(1, 4), st.sampled_from([-1, 0, 1, 3, 10, 1000]))
def test_the_likeliest_token_is_that_of_the_definition(tokens: list[int], multiplier: float, base: float,
                                                       allowed_length: int, last_n: int) -> None:
    sampler = Sampler(0, dry_multiplier=multiplier, dry_base=base, dry_allowed_length=allowed_length,
                      dry_penalty_last_n=last_n, dry_breakers=np.array([1 << BREAKER], np.uint32))
    for token in tokens:
        sampler.accept(token)
    expected = LOGITS - plain_penalties(tokens, multiplier, base, allowed_length, last_n)
    logits = expected[sampler.sample(LOGITS)]
    assert logits > expected.max() - 1e-5


def test_a_penalty_without_bound_leaves_numbers() -> None:
    sampler = Sampler(0, dry_multiplier=100.0, dry_base=100.0, dry_allowed_length=1)
    for _ in range(500):
        sampler.accept(0)
    assert sampler.sample(np.array([9.0], np.float32)) == 0
    assert sampler.sample(LOGITS) == 1


def test_a_long_history_is_forgotten_beyond_its_length() -> None:
    sampler = Sampler(0, dry_multiplier=5.0, dry_allowed_length=2, dry_penalty_last_n=4)
    for token in [1, 2, 0, *([3, 4] * 50), 1, 2]:
        sampler.accept(token)
    assert sampler.sample(LOGITS) == 0


def generate(script: str | bytes, limit: int = 60, **params: Any) -> Generation:
    data = script.encode() if isinstance(script, str) else script
    generation = Generation(ScriptedEngine([*data, *[EOS] * 100]), [1], SamplingParams(limit, **params))  # type: ignore[arg-type]
    for _ in generation:
        pass
    return generation


def test_an_answer_does_not_go_round_in_a_circle() -> None:
    circle = 'la femme, ' * 6
    assert generate(circle).text == circle
    guarded = generate(circle, dry_multiplier=0.8, dry_base=1.75, dry_allowed_length=2).text
    assert guarded.startswith('la femme, la') and 'la femme, la femme, ' not in guarded


def test_what_must_repeat_is_left_alone_where_there_is_a_structure() -> None:
    text = 'ab' * 5
    assert generate(text, dry_multiplier=50.0).text != text
    engine = ScriptedEngine([*text.encode(), EOS])
    engine.tokenizer.encode_within = lambda part: [*part.encode()]
    params = SamplingParams(60, dry_multiplier=50.0, regex='(ab)*')
    assert ''.join(token.text for token in Generation(engine, [1], params)) == text  # type: ignore[arg-type]


def test_the_prompt_counts() -> None:
    engine = ScriptedEngine([*b'cd'])
    params = SamplingParams(2, dry_multiplier=50.0, dry_allowed_length=2)
    generation = Generation(engine, [*b'abcdab'], params)  # type: ignore[arg-type]
    assert next(generation).id != ord('c')


def test_the_end_of_an_answer_is_never_penalized() -> None:
    engine = ScriptedEngine([EOS])
    params = SamplingParams(2, dry_multiplier=50.0, dry_allowed_length=1)
    generation = Generation(engine, [*b'yes', EOS, *b'yes'], params)  # type: ignore[arg-type]
    assert [token.id for token in generation] == [EOS]


def test_breakers_are_control_tokens_and_marks_of_lines_and_lists() -> None:
    mask = breakers(ScriptedTokenizer())
    breaking = {token for token in range(257) if mask[token // 32] >> (token % 32) & 1}
    assert breaking == {EOS, *b'\n:"*'}
