# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""No goal gets lost or stuck, and no memory either, however many there were: `make soak`."""

from __future__ import annotations

from collections.abc import Iterator
import os
from pathlib import Path
from typing import Any

from processes import new_namespace, node_process
import pytest
from soak import Soak

from tinychat_ros.interfaces import Chat

PROFILES = {name: str(Path(__file__).with_name('no_type_lookup.xml'))
            for name in ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')}
PARALLEL = 4


@pytest.fixture
def soak(smollm2_checkpoint: Path) -> Iterator[Soak]:
    """Return a client of a node with the real model, four goals at the same time, and a context that is soon full."""
    namespace = new_namespace()
    node = node_process(namespace, smollm2_checkpoint, '-p', 'max_seq_len:=256', '-p', f'parallel:={PARALLEL}',
                        env=os.environ | PROFILES)
    try:
        soak = Soak(namespace, node.process)
        yield soak
        soak.close()
    finally:
        node.process.terminate()
        assert node.ends() == 0, node.output
    assert 'Traceback' not in node.output
    assert 'story' not in node.output


def check(soak: Soak, goals: int) -> None:
    """Check that each goal was answered once, and each accepted one ended once, and in the right way."""
    print(dict(sorted(soak.counts.items())))
    assert not [end for end in soak.counts if end.startswith('wrong')]
    assert sum(count for end, count in soak.counts.items() if 'busy' not in end) == goals
    assert {goal: soak.ends[goal] for goal in soak.accepted} == dict.fromkeys(soak.accepted, 1)
    assert soak.counts['length 0']
    assert soak.most_running == PARALLEL


@pytest.mark.slow
def test_a_hundred_goals(soak: Soak) -> None:
    soak.fill_caches(PARALLEL)
    soak.run(100)
    check(soak, 100)


@pytest.mark.large
def test_two_thousand_goals(soak: Soak, capsys: Any) -> None:
    with capsys.disabled():
        soak.fill_caches(PARALLEL)
        soak.run(2000, print)
        check(soak, 2000)
        # By then DDS has met as many clients at once as there will be.
        settled, end = max(soak.memory[:20]), max(soak.memory)
        print(f'memory: at most {settled:.1f} MB until goal 1000, {end:.1f} MB until goal 2000')
    for kind in ('stop 0', 'canceled 0', 'rejected', 'client killed', f'aborted {Chat.Result.PREEMPTED}',
                 f'aborted {Chat.Result.PROMPT_TOO_LONG}'):
        assert soak.counts[kind], f'no goal ended so: {kind}'
    assert end - settled < 2.0
