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
    """`physical` <= `logical`: hyper-threads share an integer unit, so a second one does not speed up decoding."""

    physical: int
    logical: int


def usable_cores(cpu_root: Path = Path('/sys/devices/system/cpu'), cgroup_root: Path = Path('/sys/fs/cgroup'),
                 membership: Path = Path('/proc/self/cgroup')) -> Cores:
    """Count the cores that the affinity mask and the cgroup's CPU quota allow, at least one of each."""
    allowed = os.sched_getaffinity(0)
    quota = _cgroup_quota(cgroup_root, membership)
    physical = {_siblings(cpu_root, cpu) for cpu in allowed}
    return Cores(physical=max(1, min(len(physical), quota)), logical=max(1, min(len(allowed), quota)))


def _siblings(cpu_root: Path, cpu: int) -> str:
    """Return the list of hyper-threads on `cpu`'s core, which identifies the core."""
    try:
        return (cpu_root / f'cpu{cpu}' / 'topology' / 'thread_siblings_list').read_text().strip()
    except OSError:
        return str(cpu)


def _cgroup_quota(cgroup_root: Path, membership: Path) -> int:
    """Return the whole cores of the tightest `cpu.max` from this process's cgroup (version 2) up to the root."""
    try:
        path = membership.read_text().strip().rpartition('::')[2].lstrip('/')
    except OSError:
        return 1 << 30
    cores = float(1 << 30)
    for group in (cgroup_root / path, *(cgroup_root / path).parents):
        try:
            quota, period = (group / 'cpu.max').read_text().split()
            cores = min(cores, cores if quota == 'max' else int(quota) / int(period))
        except (OSError, ValueError):
            pass
        if group == cgroup_root:
            break
    return max(1, math.floor(cores + 0.5))
