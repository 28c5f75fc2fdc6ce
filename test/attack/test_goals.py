# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Goals, calls and messages of a hostile client: the node serves on, loses no goal, no memory and no time."""

from __future__ import annotations

from collections.abc import Iterator
import os
from pathlib import Path
from typing import Any

from hostile import Hostile
from processes import new_namespace, node_process, Process
import pytest
from test_soak import PROFILES

MOST_GROWN = 20.0  # [MB]
MOST_LOG = 300  # bytes of the log for each attack


@pytest.fixture
def node(smollm2_checkpoint: Path) -> Iterator[tuple[Process, Hostile]]:
    """Return a node with the real model, and its enemy."""
    namespace = new_namespace()
    process = node_process(
        namespace,
        smollm2_checkpoint,
        '-p',
        'max_seq_len:=512',
        '-p',
        'sentence_topic:=say',
        '-p',
        'time_limit:=1.0',
        env=os.environ | PROFILES,
    )
    try:
        hostile = Hostile(namespace, process.process)
        yield process, hostile
        hostile.close()
    finally:
        process.process.terminate()
        assert process.ends() == 0, process.output[-3000:]


def check(process: Process, hostile: Hostile, attacks: int) -> None:
    """Check that each accepted goal has ended once, in the right way, and that the log was not filled or forged."""
    assert not [end for end in hostile.counts if end.startswith('wrong')], hostile.counts
    assert {goal: hostile.ends[goal] for goal in hostile.accepted} == dict.fromkeys(hostile.accepted, 1)
    assert hostile.counts['rejected'] and hostile.calls
    assert 'Traceback' not in process.output
    assert len(process.output) < MOST_LOG * attacks + 10_000
    assert not [line for line in process.output.splitlines() if line.startswith('[ERROR]')]


@pytest.mark.slow
def test_a_hundred_attacks(node: tuple[Process, Hostile]) -> None:
    process, hostile = node
    hostile.attack(100)
    check(process, hostile, 100)


@pytest.mark.large
def test_five_thousand_attacks(node: tuple[Process, Hostile], capsys: Any) -> None:
    process, hostile = node
    with capsys.disabled():
        hostile.attack(5000, print)
        settled, end = max(hostile.memory[:50]), hostile.memory[-1]
        cancels = sorted(hostile.cancels)
        print(
            f'goals: {dict(sorted(hostile.counts.items()))}; calls: {dict(sorted(hostile.calls.items()))}; '
            f'memory {settled:.1f} -> {end:.1f} MB; {len(cancels)} cancels, '
            f'{1e3 * cancels[len(cancels) // 2]:.0f} ms, at most {1e3 * cancels[-1]:.0f} ms'
        )
    check(process, hostile, 5000)
    assert end < settled + MOST_GROWN
