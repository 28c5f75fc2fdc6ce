# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""How much memory this process can still get: from the system, its control groups and its own limit."""

from __future__ import annotations

from collections.abc import Iterator
import os
from pathlib import Path
import resource

# Address space that thread stacks and malloc arenas reserve and hardly use.
_RESERVED = 512 << 20


def available_memory(root: Path = Path('/')) -> int:
    """
    Return the bytes that this process can allocate without swapping or being killed.

    This is the minimum of MemAvailable, the rest of each enclosing control group (its page cache counts as free,
    because the kernel reclaims it first) and RLIMIT_AS. `root` is the root of the file system.
    """
    return max(0, min([_system(root), *_control_groups(root), *_address_space(root)]))


def free_swap(root: Path = Path('/')) -> int:
    """
    Return the bytes of free swap, including zram.

    No plan counts them: weights are file pages, which are never swapped, and decoding reads all of them for every
    token. For zram this is the uncompressed size.
    """
    return _fields(root / 'proc/meminfo').get('SwapFree:', 0) * 1024


def _system(root: Path) -> int:
    found = _fields(root / 'proc/meminfo').get('MemAvailable:')
    # Not Linux: the installed memory is the best estimate.
    return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') if found is None else found * 1024


def _control_groups(root: Path) -> Iterator[int]:
    """Yield the rest of each enclosing group: cgroup v2 and the memory controller of v1."""
    try:
        lines = (root / 'proc/self/cgroup').read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(':', 2)
        if controllers == '':
            mount, names = root / 'sys/fs/cgroup', ('memory.max', 'memory.current', '')
        elif 'memory' in controllers.split(','):
            mount, names = root / 'sys/fs/cgroup/memory', ('memory.limit_in_bytes', 'memory.usage_in_bytes', 'total_')
        else:
            continue
        group = mount / path.lstrip('/')
        while group.is_relative_to(mount):
            limit, used = _number(group / names[0]), _number(group / names[1])
            if limit is not None and used is not None:
                stat = _fields(group / 'memory.stat')
                yield limit - used + sum(stat.get(f'{names[2]}{kind}_file', 0) for kind in ('active', 'inactive'))
            group = group.parent


def _address_space(root: Path) -> Iterator[int]:
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY:
        yield limit - _fields(root / 'proc/self/status').get('VmSize:', 0) * 1024 - _RESERVED


def _number(path: Path) -> int | None:
    """Return the number in a file; None if there is no file or it contains max."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _fields(path: Path) -> dict[str, int]:
    """Return the numbers of a file of lines `name number`, by name."""
    try:
        lines = [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return {}
    return {words[0]: int(words[1]) for words in lines if len(words) > 1 and words[1].isdigit()}
