# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The pieces of a prompt follow the times of the passes."""

from __future__ import annotations

import pytest

from tinychat_core.generation import SHORTEST_PIECE
from tinychat_core.serving.prefill_pace import PrefillPace, STRETCH

LONGEST = 256


class Machine:
    """Passes whose times follow a rule: a piece costs something at once, and something for each token."""

    def __init__(self) -> None:
        """Begin with passes of 10 ms."""
        self.pace = PrefillPace(LONGEST)
        self.decoding, self.at_once, self.per_token = 0.010, 0.004, 0.0002

    def decode(self, passes: int = 30) -> None:
        """Compute passes without a prompt."""
        for _ in range(passes):
            self.pace.note(self.decoding, 0)

    def read(self, passes: int = 30) -> list[float]:
        """Compute passes with pieces; return how many times as long as the others they take."""
        stretches = []
        for _ in range(passes):
            tokens = self.pace.piece(is_decoding=True)
            assert SHORTEST_PIECE <= tokens <= LONGEST
            seconds = self.decoding + self.at_once + self.per_token * tokens
            self.pace.note(seconds, tokens)
            stretches.append(seconds / self.decoding)
        return stretches


def test_pieces_grow_until_a_pass_takes_as_long_as_it_may() -> None:
    machine = Machine()
    machine.decode()
    stretches = machine.read()
    assert max(stretches) <= STRETCH and stretches[-1] > 0.8 * STRETCH


def test_a_prompt_beside_one_answer_after_one_beside_many() -> None:
    machine = Machine()
    machine.decoding = 0.080
    machine.decode()
    machine.read()
    machine.decoding = 0.010
    machine.decode()
    assert max(machine.read()) < 3.0


def test_pieces_shrink_as_tokens_become_dearer() -> None:
    machine = Machine()
    machine.decode()
    machine.read()
    for _ in range(20):  # later tokens of a prompt see more of it
        machine.per_token *= 1.05
        assert max(machine.read(1)) < STRETCH * 1.05


def test_a_piece_that_is_always_too_long_is_the_shortest_one() -> None:
    machine = Machine()
    machine.at_once = 1.0
    machine.decode()
    machine.read()
    assert machine.pace.piece(is_decoding=True) == SHORTEST_PIECE
    machine.pace = PrefillPace(LONGEST, 16)
    machine.decode()
    machine.read()
    assert machine.pace.piece(is_decoding=True) == 16


@pytest.mark.parametrize('tokens', [16, 31, 33, 100])
def test_a_long_piece_is_a_multiple_of_a_tile(tokens: int) -> None:
    machine = Machine()
    machine.at_once, machine.per_token = 0.0, 0.010 * (STRETCH - 1.0) / (tokens + 0.01)
    machine.decode()
    machine.read()
    assert machine.pace.piece(is_decoding=True) == tokens // 16 * 16


def test_nobody_waits_for_a_prompt_that_is_alone() -> None:
    assert PrefillPace(LONGEST).piece(is_decoding=False) == LONGEST
