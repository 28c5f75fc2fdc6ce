# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The cores that a process may use: affinity, hyper-threads and cgroup quotas."""
from __future__ import annotations

from pathlib import Path

import pytest

from tinychat_core.cores import Cores, usable_cores


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that counts cores on a machine of 4 cores with 2 hyper-threads each."""
    for cpu in range(8):
        topology = tmp_path / 'cpu' / f'cpu{cpu}' / 'topology'
        topology.mkdir(parents=True)
        (topology / 'thread_siblings_list').write_text(f'{cpu % 4},{cpu % 4 + 4}\n')
    (tmp_path / 'membership').write_text('0::/robot/chat\n')
    (tmp_path / 'cgroup' / 'robot' / 'chat').mkdir(parents=True)

    def count(affinity: set[int], robot: str = 'max 100000', chat: str = 'max 100000') -> Cores:
        monkeypatch.setattr('os.sched_getaffinity', lambda _: affinity)
        (tmp_path / 'cgroup' / 'robot' / 'cpu.max').write_text(robot)
        (tmp_path / 'cgroup' / 'robot' / 'chat' / 'cpu.max').write_text(chat)
        return usable_cores(tmp_path / 'cpu', tmp_path / 'cgroup', tmp_path / 'membership')

    return count


def test_hyper_threads_share_a_core(machine) -> None:
    assert machine(set(range(8))) == Cores(physical=4, logical=8)


def test_affinity_is_respected(machine) -> None:
    assert machine({0, 4, 5}) == Cores(physical=2, logical=3)


def test_the_tightest_quota_on_the_way_to_the_root_counts(machine) -> None:
    assert machine(set(range(8)), robot='250000 100000') == Cores(physical=3, logical=3)
    assert machine(set(range(8)), robot='400000 100000', chat='200000 100000') == Cores(physical=2, logical=2)


def test_there_is_always_one(machine) -> None:
    assert machine({3}, chat='10000 100000') == Cores(physical=1, logical=1)


def test_a_machine_without_cgroups_counts_its_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('os.sched_getaffinity', lambda _: {0, 1})
    assert usable_cores(tmp_path, tmp_path, tmp_path / 'absent') == Cores(physical=2, logical=2)


def test_quotas_of_cgroups_of_the_first_version_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('os.sched_getaffinity', lambda _: set(range(8)))
    group = tmp_path / 'cpu,cpuacct' / 'robot'
    (group / 'chat').mkdir(parents=True)
    for path, quota in ((group, 350_000), (group / 'chat', -1)):
        (path / 'cpu.cfs_quota_us').write_text(f'{quota}\n')
        (path / 'cpu.cfs_period_us').write_text('100000\n')
    membership = tmp_path / 'membership'
    membership.write_text('12:cpuset:/other\n4:cpu,cpuacct:/robot/chat\n0::/init.scope\n')
    assert usable_cores(tmp_path / 'cpu', tmp_path, membership) == Cores(physical=4, logical=4)
    membership.write_text('4:cpu,cpuacct:/not/mounted/here\n')
    assert usable_cores(tmp_path / 'cpu', tmp_path, membership).logical == 8


@pytest.mark.parametrize('file', ['cpu_capacity', 'cpufreq/cpuinfo_max_freq'])
def test_slow_cores_beside_fast_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    for cpu, speed in enumerate((1024, 1024, 980, 530)):
        path = tmp_path / f'cpu{cpu}' / file
        path.parent.mkdir(parents=True)
        path.write_text(f'{speed}\n')

    def are_equal(affinity: set[int]) -> bool:
        monkeypatch.setattr('os.sched_getaffinity', lambda _: affinity)
        return usable_cores(tmp_path, tmp_path, tmp_path / 'absent').are_equal

    assert not are_equal({0, 3}) and not are_equal({0, 1, 2, 3})
    assert are_equal({0, 2}) and are_equal({3})
