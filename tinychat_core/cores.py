# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Counts the cores that this process may use."""
from __future__ import annotations

from dataclasses import dataclass
import math
import os
from pathlib import Path


@dataclass(frozen=True)
class Cores:
    """
    `physical` <= `logical`: hyper-threads share an integer unit, so a second one does not speed up decoding.

    `are_equal`: whether they are equally fast, as far as the system reports.
    """

    physical: int
    logical: int
    are_equal: bool = True


# A core whose capacity or clock is lower by more than this fraction is a different kind of core.
_SLOWER = 0.1


def usable_cores(cpu_root: Path = Path('/sys/devices/system/cpu'), cgroup_root: Path = Path('/sys/fs/cgroup'),
                 membership: Path = Path('/proc/self/cgroup')) -> Cores:
    """Count the cores that the affinity mask and the cgroups' CPU quotas allow, at least one of each."""
    allowed = os.sched_getaffinity(0)
    quota = _cgroup_quota(cgroup_root, membership)
    physical = {_siblings(cpu_root, cpu) for cpu in allowed}
    return Cores(physical=max(1, min(len(physical), quota)), logical=max(1, min(len(allowed), quota)),
                 are_equal=_are_equal(cpu_root, allowed))


def _are_equal(cpu_root: Path, allowed: set[int]) -> bool:
    """Return whether cores have the same capacity (on ARM), or the same highest clock."""
    for file in ('cpu_capacity', 'cpufreq/cpuinfo_max_freq'):
        try:
            speeds = [int((cpu_root / f'cpu{cpu}' / file).read_text()) for cpu in allowed]
        except (OSError, ValueError):
            continue
        return min(speeds) >= (1 - _SLOWER) * max(speeds)
    return True


def _siblings(cpu_root: Path, cpu: int) -> str:
    """Return the list of hyper-threads on `cpu`'s core, which identifies the core."""
    try:
        return (cpu_root / f'cpu{cpu}' / 'topology' / 'thread_siblings_list').read_text().strip()
    except OSError:
        return str(cpu)


def _cgroup_quota(cgroup_root: Path, membership: Path) -> int:
    """Return the whole cores of the tightest quota from this process's cgroups up to their roots."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return 1 << 30
    cores = float(1 << 30)
    for line in lines:  # number:controllers:path; version 2 lists no controllers (cgroups(7))
        _, controllers, path = (*line.split(':', 2), '', '')[:3]
        if controllers and 'cpu' not in controllers.split(','):
            continue
        root = cgroup_root / controllers
        group = root / path.lstrip('/')
        while True:
            cores = min(cores, _quota(group))
            if group == root or root not in group.parents:
                break
            group = group.parent
    return max(1, math.floor(cores + 0.5))


def _quota(group: Path) -> float:
    """Return the cores that one cgroup allows, of version 2 or 1."""
    for files in (('cpu.max',), ('cpu.cfs_quota_us', 'cpu.cfs_period_us')):
        try:
            quota, period = ' '.join((group / file).read_text() for file in files).split()
            return math.inf if quota in ('max', '-1') else int(quota) / int(period)
        except (OSError, ValueError, ZeroDivisionError):
            continue
    return math.inf
