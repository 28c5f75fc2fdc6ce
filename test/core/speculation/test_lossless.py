# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Right and wrong guesses leave an answer as it is, bit for bit, and nothing of them in the cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from letters import FixedCost, KINDS, tiny_engine
import pytest

from tinychat_core.engine import CancelFlag, Engine
from tinychat_core.errors import BackendFailedError
from tinychat_core.generation import Generation
from tinychat_core.sampling import SamplingParams

PRECISIONS = [('W4', 'auto'), ('W4', 'int8'), ('W8', 'auto'), ('W4A8', 'auto'), ('W4A16', 'auto')]


class Oracle:
    """Knows the answer, and is wrong as often as it was told."""

    def __init__(self, ids: Sequence[int], wrong: float, seed: int = 0) -> None:
        """Take the whole answer."""
        self._ids, self._wrong, self._random = [*ids], wrong, Random(seed)
        self.position = 0
        self.noted: list[tuple[int, int]] = []

    def append(self, token: int) -> None:
        """Count a token."""
        self.position += 1

    def guess(self, most: int, sequences: int) -> Sequence[int]:
        """Return the next tokens, some of them wrong."""
        return self.lookup(self._random.randint(0, most))

    def lookup(self, most: int) -> Sequence[int]:
        """Return the same for a structure."""
        right = (self._ids[self.position:self.position + most] + [7] * most)[:most]
        return [(token + 1) % 256 if self._random.random() < self._wrong else token for token in right]

    def of_structure(self, guess: Sequence[int], is_forced: bool, sequences: int) -> Sequence[int]:
        """Return some of it."""
        return guess[:self._random.randint(0, len(guess))]

    def note(self, guessed: int, right: int) -> None:
        """Note it."""
        self.noted.append((guessed, right))


@pytest.fixture(params=PRECISIONS, ids=' '.join)
def engine(request: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    engine = tiny_engine(monkeypatch, *request.param)
    engine.speculates = False
    yield engine
    engine.close()


def generated(engine: Engine, tokens: Sequence[int], params: SamplingParams, oracle: Oracle | None = None,
              cancel: CancelFlag | None = None) -> Generation:
    generation = Generation(engine, tokens, params, cancel=cancel)
    generation._guesser = oracle  # type: ignore[assignment]
    return generation


@pytest.mark.parametrize('wrong', [0.0, 0.3, 1.0])
def test_guesses_do_not_change_an_answer(engine: Engine, wrong: float) -> None:
    for number, (length, fields) in enumerate(KINDS):
        params = SamplingParams(max_new_tokens=60, seed=number, **fields)
        prompt = [(7 * i + number) % 256 for i in range(length)]
        plain = generated(engine, prompt, params)
        expected = [*plain]
        oracle = Oracle(plain.ids, wrong, number)
        guessed = generated(engine, prompt, params, oracle)
        assert [*guessed] == expected and guessed.ids == plain.ids
        assert guessed._cache.length == plain._cache.length == len(prompt) + len(plain.ids) - 1
        right = sum(right for _, right in oracle.noted)
        assert right >= guessed.accepted_tokens >= right - 7
        if guessed._constraint is None:  # it lets few wrong guesses through
            assert bool(right) == (wrong < 1.0)
        # What follows is computed from the same keys and values.
        more = [generated_after(engine, generation) for generation in (plain, guessed)]
        assert more[0] == more[1]


def generated_after(engine: Engine, generation: Generation) -> list[int]:
    after = Generation(engine, [1, 2, 3], SamplingParams(max_new_tokens=5), generation._cache)
    list(after)
    return after.ids


@pytest.mark.parametrize('length', [1, 2, 3, 9])
def test_a_guess_ends_with_the_answer_and_with_the_context(engine: Engine, length: int) -> None:
    params = SamplingParams(max_new_tokens=length)
    plain = generated(engine, [1, 2, 3], params)
    expected = [*plain]
    guessed = generated(engine, [1, 2, 3], params, Oracle(plain.ids, 0.0))
    assert [*guessed] == expected
    prompt = [5] * (engine.context_length - length + 1)
    plain = generated(engine, prompt, SamplingParams())
    assert [token.finish_reason for token in plain][-1] == 'length' and len(plain.ids) <= length
    guessed = generated(engine, prompt, SamplingParams(), Oracle(plain.ids, 0.0))
    list(guessed)
    assert guessed.ids == plain.ids


def test_a_canceled_answer_keeps_what_was_confirmed(engine: Engine) -> None:
    plain = generated(engine, [1, 2, 3], SamplingParams(max_new_tokens=60))
    list(plain)
    cancel = CancelFlag()
    guessed = generated(engine, [1, 2, 3], SamplingParams(max_new_tokens=60), Oracle(plain.ids, 0.2), cancel)
    for _ in range(20):
        next(guessed)
    cancel.set()
    assert [*guessed][-1].finish_reason == 'canceled'
    assert guessed.ids == plain.ids[:len(guessed.ids)] and len(guessed.ids) >= 20
    assert guessed._cache.length == 3 + len(guessed.ids) - 1
    assert guessed.text == ''.join(map(engine.tokenizer.push, guessed.ids))  # type: ignore[attr-defined]


@pytest.mark.parametrize('precision', ['W4', 'W4A16'])
@pytest.mark.parametrize(('seed', 'context'), [(0, 1000), (1, 1000), (0, 50)])
def test_a_draft_model_does_not_change_an_answer(monkeypatch: pytest.MonkeyPatch, precision: str, seed: int,
                                                 context: int) -> None:
    """The model itself, one of other weights, and one of a shorter context."""
    engine = tiny_engine(monkeypatch, precision)
    draft = tiny_engine(monkeypatch, precision, seed=seed, num_hidden_layers=2 - seed, max_position_embeddings=context)
    draft.row_cost = FixedCost(0.1, 0.001)
    for number, (length, fields) in enumerate(KINDS):
        params = SamplingParams(max_new_tokens=60, seed=number, **fields)
        prompt = [(7 * i + number) % 256 for i in range(length)]
        engine.speculates, engine.draft = False, None
        plain = generated(engine, prompt, params)
        expected = [*plain]
        engine.speculates, engine.draft = True, draft
        drafted = Generation(engine, prompt, params)
        assert [*drafted] == expected and drafted.ids == plain.ids
        if seed == 0 and length < context - 60 and not fields:
            assert drafted.accepted_tokens > 40
    engine.draft = None
    draft.close()
    engine.close()


def test_an_answer_goes_on_without_a_draft_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, draft = tiny_engine(monkeypatch, 'W4'), tiny_engine(monkeypatch, 'W4')
    params = SamplingParams(max_new_tokens=20)
    plain = generated(engine, [1, 2, 3], params)
    expected = [*plain]

    def fail(*_: Any) -> Any:
        raise BackendFailedError('no memory')

    draft.new_cache = fail  # type: ignore[method-assign]
    engine.draft = draft
    assert [*Generation(engine, [1, 2, 3], params)] == expected


def test_a_text_that_repeats_itself_is_guessed(engine: Engine) -> None:
    """What follows the same tokens is guessed, and counts where the model says it, too."""
    params = SamplingParams(max_new_tokens=200)
    first = generated(engine, [1, 2, 3], params)
    list(first)
    prompt = [*first.ids, 1, 2, 3]
    plain = generated(engine, prompt, params)
    list(plain)
    engine.speculates = True
    guessed = Generation(engine, prompt, params)
    list(guessed)
    assert guessed.ids == plain.ids
    seen, repeated = [*prompt], 0
    for token in plain.ids:
        before = [i for i in range(10, len(seen)) if seen[i - 10:i] == seen[-10:]]
        repeated += bool(before) and seen[before[-1]] == token
        seen.append(token)
    assert guessed.accepted_tokens >= repeated // 2
