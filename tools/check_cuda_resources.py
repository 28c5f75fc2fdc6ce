# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Check the resources that the CUDA kernels use: check_cuda_resources.py BUILD_LOG.

The log is the output of a build with -Xptxas=-v. The check fails if a kernel spills registers to memory, or was not
built for all architectures. It prints one line per kernel: the maximum of registers, shared memory and stack over all
architectures.
"""
from __future__ import annotations

from collections import defaultdict
from pathlib import Path
import re
import subprocess
import sys

_ENTRY = re.compile(r"Compiling entry function '(\S+)' for '(sm_\d+)'")
_STACK = re.compile(r'(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads')
_USED = re.compile(r'Used (\d+) registers')
_SHARED = re.compile(r'(\d+) bytes smem')


def report(log: str) -> dict[str, dict[str, tuple[int, int, int, int]]]:
    """Return (registers, bytes of shared memory, bytes of stack, spilled bytes) by kernel and architecture."""
    found: dict[str, dict[str, tuple[int, int, int, int]]] = defaultdict(dict)
    kernel = arch = ''
    stack = spilled = 0
    for line in log.splitlines():
        if entry := _ENTRY.search(line):
            kernel, arch = entry.groups()
        elif taken := _STACK.search(line):
            stack, *stores_and_loads = map(int, taken.groups())
            spilled = sum(stores_and_loads)
        elif (used := _USED.search(line)) and kernel:
            shared = _SHARED.search(line)
            found[kernel][arch] = int(used[1]), int(shared[1]) if shared else 0, stack, spilled
            kernel = ''
    return dict(found)


def readable(names: list[str]) -> list[str]:
    """Demangle the names, without namespaces and parameters."""
    plain = subprocess.run(['c++filt'], input='\n'.join(names), capture_output=True, text=True, check=True).stdout
    return [re.sub(r'tinychat::(cuda::)?|\(anonymous namespace\)::|\([^()]*\)$|^void ', '', name)
            for name in plain.splitlines()]


def main() -> int:
    """Print the report. Return 1 if a kernel fails the check."""
    kernels = report(Path(sys.argv[1]).read_text())
    archs = {arch for by_arch in kernels.values() for arch in by_arch}
    bad = 0 if kernels else 1
    for name, by_arch in sorted(zip(readable(list(kernels)), kernels.values(), strict=True)):
        registers, shared, stack, spilled = map(max, zip(*by_arch.values(), strict=True))
        problems = [f'spills {spilled} bytes'] * (spilled > 0)
        problems += [f'not built for {", ".join(sorted(archs - set(by_arch)))}'] * (set(by_arch) != archs)
        bad += len(problems)
        print(f'{name:<60} {registers:4d} registers {shared:6d} bytes shared {stack:4d} bytes stack  '
              f'{"; ".join(problems)}')
    print(f'{len(kernels)} kernels for {", ".join(sorted(archs))}' + (f': {bad} problems' if bad else ''))
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
