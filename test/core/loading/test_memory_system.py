# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""How much memory is left, in file systems that tell of all kinds of machines."""
from __future__ import annotations

from pathlib import Path
import resource

import pytest

from tinychat_core.loading.system_memory import available_memory, free_swap

GIB = 1 << 30


def machine(root: Path, files: dict[str, str]) -> Path:
    for name, text in {'proc/meminfo': f'MemTotal: {9 << 20} kB\nMemAvailable:    {8 << 20} kB\n', **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_what_the_system_says(tmp_path: Path) -> None:
    assert available_memory(machine(tmp_path, {})) == 8 * GIB


def test_a_system_that_says_nothing(tmp_path: Path) -> None:
    assert available_memory(tmp_path) > 1 << 20


@pytest.mark.parametrize(('files', 'left'), [
    # v2: what a group uses counts, but not its page cache; the strictest of the groups around it decides.
    ({'proc/self/cgroup': '0::/robot/chat\n', 'sys/fs/cgroup/robot/chat/memory.max': f'{4 * GIB}\n',
      'sys/fs/cgroup/robot/chat/memory.current': f'{2 * GIB}\n',
      'sys/fs/cgroup/robot/chat/memory.stat': f'anon 7\ninactive_file {GIB >> 1}\nactive_file {GIB >> 1}\n'}, 3 * GIB),
    ({'proc/self/cgroup': '0::/robot/chat\n', 'sys/fs/cgroup/robot/chat/memory.max': 'max\n',
      'sys/fs/cgroup/robot/memory.max': f'{2 * GIB}\n', 'sys/fs/cgroup/robot/memory.current': f'{GIB}\n'}, GIB),
    ({'proc/self/cgroup': '0::/\n', 'sys/fs/cgroup/memory.max': f'{GIB}\n',
      'sys/fs/cgroup/memory.current': '0\n'}, GIB),
    # v1, in a container that does not see its own path.
    ({'proc/self/cgroup': '4:memory:/docker/1\n3:cpuset:/\n', 'sys/fs/cgroup/memory/memory.limit_in_bytes': f'{GIB}\n',
      'sys/fs/cgroup/memory/memory.usage_in_bytes': f'{GIB}\n',
      'sys/fs/cgroup/memory/memory.stat': f'total_inactive_file {GIB >> 2}\ntotal_active_file 0\n'}, GIB >> 2),
    # More in use than allowed, as after a limit was lowered.
    ({'proc/self/cgroup': '0::/\n', 'sys/fs/cgroup/memory.max': '5\n', 'sys/fs/cgroup/memory.current': '9\n'}, 0),
])
def test_the_groups_around_the_process(tmp_path: Path, files: dict[str, str], left: int) -> None:
    assert available_memory(machine(tmp_path, files)) == left


def test_the_process_own_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, 'getrlimit', lambda _: (2 * GIB + (512 << 20), resource.RLIM_INFINITY))
    assert available_memory(machine(tmp_path, {'proc/self/status': f'VmSize:\t{1 << 20} kB\n'})) == GIB


def test_swap_is_known_and_not_counted(tmp_path: Path) -> None:
    root = machine(tmp_path, {'proc/meminfo': f'MemAvailable: {1 << 20} kB\nSwapTotal: 9 kB\nSwapFree: {2 << 20} kB\n',
                              'proc/swaps': 'Filename Type Size\n/dev/zram0 partition 2097152\n'})
    assert (available_memory(root), free_swap(root)) == (GIB, 2 * GIB)
    assert free_swap(machine(tmp_path / 'other', {})) == 0
