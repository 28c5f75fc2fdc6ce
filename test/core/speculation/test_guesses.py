# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""What is guessed, and how much of it."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, strategies as st
import pytest

from tinychat_core.speculation.guess_pace import GuessPace, Kind
from tinychat_core.speculation.prompt_lookup import LONGEST_MATCH, PAIR, PromptLookup
from tinychat_core.speculation.row_cost import RowCost


@pytest.mark.parametrize(('text', 'guess', 'length'), [
    ('', '', 0), ('a', '', 0), ('ab', '', 0), ('abcxb', '', 0),  # no pair of tokens came before
    ('abcdxab', 'cdxa', 2), ('abcxabdyab', 'dyab', 2),  # of equal matches the latest
    ('zabc.yabd.zab', 'c.ya', 3),  # the longest
    ('ababab', 'abab', 4), ('aaaa', 'aaaa', 3),  # a text that repeats itself
])
def test_a_text_goes_on_as_it_did_before(text: str, guess: str, length: int) -> None:
    tokens, matched = PromptLookup(map(ord, text)).guess(4)
    assert (''.join(map(chr, tokens)), matched) == (guess, length)


@given(st.lists(st.integers(0, 3), max_size=80), st.integers(0, 9))
def test_a_guess_follows_an_equal_text(tokens: list[int], most: int) -> None:
    guess, length = PromptLookup(tokens).guess(most)
    assert len(guess) == (most if length else 0) and length <= LONGEST_MATCH
    if not length:
        seen = list(pairwise(tokens))
        assert most < 1 or len(tokens) < PAIR or seen.index(seen[-1]) == len(seen) - 1
        return
    found = [end for end in range(length, len(tokens)) if tokens[end - length:end] == tokens[-length:]]
    repeated = [tokens[end:] + guess for end in found]
    assert any(follows[:most] == guess for follows in repeated)


def test_what_is_right_is_guessed_longer_and_what_is_wrong_no_more() -> None:
    pace = GuessPace()
    first = pace.length(Kind.LONG_MATCH, 0.25)
    for _ in range(20):
        pace.note(Kind.LONG_MATCH, 4, 4)
    assert pace.length(Kind.LONG_MATCH, 0.25) > first > 0
    for _ in range(60):
        pace.note(Kind.LONG_MATCH, 4, 0)
    assert pace.length(Kind.LONG_MATCH, 0.25) == 0
    # Some time it is tried again.
    assert any(pace.length(Kind.LONG_MATCH, 0.25) for _ in range(1000))


def test_free_text_is_not_guessed_after_a_chance_match() -> None:
    assert GuessPace().length(Kind.SHORT_MATCH, 0.25) == 0


@pytest.mark.parametrize('kind', Kind)
def test_the_more_sequences_and_the_dearer_a_token_the_shorter_the_guess(kind: Kind) -> None:
    pace = GuessPace()
    by_sequences = [pace.length(kind, 0.2, sequences) for sequences in (1, 2, 4, 8, 32)]
    by_cost = [pace.length(kind, cost) for cost in (0.02, 0.1, 0.3, 0.9, 1.0)]
    by_draft = [pace.length(kind, 0.1, 1, cost) for cost in (0.0, 0.2, 0.5, 0.9)]
    for lengths in (by_sequences, by_cost, by_draft):
        assert lengths == sorted(lengths, reverse=True)
    assert by_cost[-1] < 6


def test_the_cost_of_a_token_is_measured() -> None:
    cost = RowCost()
    assert 0.1 < cost.per_token < 0.5  # of nothing
    for _ in range(50):
        for tokens in (1, 4, 1, 8, 2):
            cost.note(0.010 + 0.002 * (tokens - 1), tokens)
    assert cost.per_token == pytest.approx(0.2, rel=0.2) and cost.seconds == pytest.approx(0.010, rel=0.01)
    for _ in range(200):  # a longer context
        cost.note(0.020, 1)
        cost.note(0.020 + 7 * 0.008, 8)
    assert cost.per_token == pytest.approx(0.4, rel=0.2) and cost.seconds == pytest.approx(0.020, rel=0.01)


def test_a_pass_that_took_long_once_is_forgotten() -> None:
    cost = RowCost()
    cost.note(0.010, 1)
    cost.note(0.500, 8)
    assert cost.per_token < 0.5
    for _ in range(1000):
        cost.note(0.010, 1)
    assert cost.per_token == pytest.approx(0.3, rel=0.1)
