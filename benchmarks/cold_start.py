# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Time loading a checkpoint from disk against dd: `cold_start.py CHECKPOINT [ROUNDS]`.

The files are dropped from the page cache before each measurement. Prints seconds and MB/s, with full verification, for
dd with O_DIRECT, for the mapped load until the engine is open, and for the copy into host memory.
"""
from __future__ import annotations

import os
from pathlib import Path
import subprocess
import sys
from time import perf_counter

LOAD = ('import sys, time\nfrom tinychat_core.engine import Engine\nstart = time.perf_counter()\n'
        'Engine.open(sys.argv[1], max_seq_len=512, staged=sys.argv[2] == "staged")\n'
        'print(time.perf_counter() - start)')


def drop(files: list[Path]) -> None:
    """Drop the files from the page cache."""
    for file in files:
        descriptor = os.open(file, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def seconds(way: str, checkpoint: Path, files: list[Path]) -> float:
    """Return the time of one load [s]."""
    drop(files)
    if way == 'dd':
        start = perf_counter()
        for file in files:
            subprocess.run(['dd', f'if={file}', 'of=/dev/null', 'bs=16M', 'iflag=direct', 'status=none'], check=True)
        return perf_counter() - start
    done = subprocess.run([sys.executable, '-c', LOAD, checkpoint, way], capture_output=True, text=True, check=True)
    return float(done.stdout)


def main(checkpoint: Path, rounds: int) -> None:
    """Measure all ways in turn and print a table."""
    files = sorted(checkpoint.glob('*.safetensors'))
    size = sum(file.stat().st_size for file in files)
    print('| way | ' + ' | '.join(f'round {i + 1} [s]' for i in range(rounds)) + ' | best [MB/s] |')
    print('|---' * (rounds + 2) + '|')
    found: dict[str, list[float]] = {'dd': [], 'mapped': [], 'staged': []}
    for _ in range(rounds):
        for way, times in found.items():
            times.append(seconds(way, checkpoint, files))
    for way, times in found.items():
        print(f'| {way} | ' + ' | '.join(f'{time:.2f}' for time in times) + f' | {size / min(times) / 1e6:,.0f} |')


if __name__ == '__main__':
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 5)
