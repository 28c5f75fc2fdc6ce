# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Goals, calls and messages of a hostile client: the node serves on, loses no goal, no memory and no time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
import json
import os
from pathlib import Path
import subprocess
import sys
from time import sleep
from typing import Any

from hostile import Hostile
from processes import new_namespace, node_process, Process
import pytest
from soak import anonymous_memory
from test_soak import PROFILES

from tinychat_ros.garbage import PERIOD

MOST_GROWN = 20.0  # [MB]
SLOWEST_CANCEL = 0.1  # [s] that another client may wait for its result
MOST_LOG = 300  # bytes of the log for each attack


class Innocent:
    """
    A client in a process of its own, which cancels goals until `end`.

    Then `cancels` has the seconds from each request to cancel to the goal's result.
    """

    def __init__(self, namespace: str) -> None:
        """Begin."""
        command = [sys.executable, str(Path(__file__).with_name('innocent.py')), namespace]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=os.environ | PROFILES)
        self.cancels: Sequence[float] = ()

    def end(self) -> None:
        """Let it end; it must have got an answer to each goal."""
        said, _ = self.process.communicate('')
        assert self.process.returncode == 0
        self.cancels = json.loads(said)['cancels']


@contextmanager
def innocent(namespace: str) -> Iterator[Innocent]:
    """Return a client that means no harm."""
    client = Innocent(namespace)
    try:
        yield client
        client.end()
    finally:
        client.process.kill()
        client.process.wait()


def times(seconds: Sequence[float]) -> str:
    """Return how many there are, the middle one and the longest."""
    ordered = sorted(seconds)
    middle, last = ordered[len(ordered) // 2], ordered[-1]
    return f'{len(ordered)}, {1e3 * middle:.0f} ms, at most {1e3 * last:.0f} ms'


def memory_at_rest(process: Process) -> float:
    """Return what a node has allocated after it has given freed memory back [MB]."""
    sleep(3 * PERIOD)
    return anonymous_memory(process.process.pid)


@pytest.fixture
def namespace() -> str:
    return new_namespace()


@pytest.fixture
def node(namespace: str, smollm2_checkpoint: Path) -> Iterator[tuple[Process, Hostile]]:
    """Return a node with the real model, and its enemy."""
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
def test_a_hundred_attacks(namespace: str, node: tuple[Process, Hostile]) -> None:
    process, hostile = node
    with innocent(namespace) as client:
        hostile.attack(100)
    check(process, hostile, 100)
    assert len(client.cancels)


@pytest.mark.large
def test_five_thousand_attacks(namespace: str, node: tuple[Process, Hostile], capsys: Any) -> None:
    process, hostile = node
    memory, cancels = [], []
    with capsys.disabled():
        for _ in range(2):
            with innocent(namespace) as client:
                hostile.attack(2500, print)
            memory.append(memory_at_rest(process))
            cancels += client.cancels
        # The hostile client's own times include what it takes to write and send its megabytes.
        print(
            f'goals: {dict(sorted(hostile.counts.items()))}; calls: {dict(sorted(hostile.calls.items()))}; '
            f'memory {memory[0]:.1f} -> {memory[1]:.1f} MB; cancels of another client: {times(cancels)}; '
            f'of the hostile one: {times(hostile.cancels)}'
        )
    check(process, hostile, 5000)
    assert memory[1] < memory[0] + MOST_GROWN
    assert max(cancels) < SLOWEST_CANCEL
