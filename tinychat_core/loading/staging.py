# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Copy a file into a destination through a small ring of buffers, and verify it on the way.

Two chunks are read while a third is verified and copied, so the slower of disk and destination limits the speed. Only
the ring is allocated in addition to the destination.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
import mmap
import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tinychat_core.checkpoint.checksums import damaged, differing
from tinychat_core.errors import CheckpointError
from tinychat_core.loading.load_mode import CHUNK, LoadPlan, RING

_PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS

Progress = Callable[[int], None]  # receives the bytes of each chunk; may raise an exception to stop


class Destination(Protocol):
    """Memory that kernels read: host memory, or a device's (WeightMemory of the native module)."""

    def buffer(self, size: int) -> memoryview:
        """Return page-aligned host memory that `copy` accepts chunks from."""

    def copy(self, handle: Any, offset: int, chunk: memoryview) -> None:
        """Start copying a chunk to an offset of an allocation; the chunk must not change before `synchronize`."""

    def synchronize(self) -> None:
        """Wait for all copies to finish."""


class HostMemory:
    """
    Anonymous host memory; a handle is an mmap.mmap.

    The first touch of its pages can take most of the time of a copy. Two threads do it faster than one.
    """

    def __init__(self) -> None:
        """Create the pool of two threads."""
        self._copiers = ThreadPoolExecutor(2, 'checkpoint-copier')
        self._copies: list[Future[None]] = []

    def allocate(self, size: int) -> mmap.mmap:
        """Reserve memory, which the system provides on first write; MemoryError if there is none."""
        try:
            memory = mmap.mmap(-1, size, _PRIVATE)
        except OSError as error:
            raise MemoryError(f'no room for {size} bytes: {error.strerror}') from None
        return _in_huge_pages(memory)

    def buffer(self, size: int) -> memoryview:
        """Return a buffer of the ring."""
        return memoryview(self.allocate(size))

    def copy(self, handle: mmap.mmap, offset: int, chunk: memoryview) -> None:
        """Start copying the two halves of a chunk; numpy releases the GIL."""
        half = len(chunk) // 2
        self._copies += [self._copiers.submit(_copy, handle, offset, chunk[:half]),
                         self._copiers.submit(_copy, handle, offset + half, chunk[half:])]

    def synchronize(self) -> None:
        """Wait for all copies to finish."""
        for copy in self._copies:
            copy.result()
        self._copies.clear()


class Staging:
    """A ring of page-aligned buffers between files and a destination; a context manager that stops its threads."""

    def __init__(self, destination: Destination, plan: LoadPlan,
                 read: Callable[[int, list[memoryview], int], int] = os.preadv) -> None:
        """Allocate the ring; tests replace `read`."""
        self._destination = destination
        self._plan = plan
        self._read = read
        self._ring = [destination.buffer(CHUNK) for _ in range(RING)]
        self._reader = ThreadPoolExecutor(RING - 1, 'checkpoint-reader')

    def __enter__(self) -> Staging:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for pending reads, and free the ring."""
        self._reader.shutdown(cancel_futures=True)
        self._ring.clear()

    def copy_file(self, path: Path, size: int, sums: Sequence[str], handle: Any,
                  progress: Progress = lambda _: None) -> None:
        """
        Copy a whole file into the allocation `handle` of the destination.

        `sums`: the checksum of each MiB; empty: do not verify. Raises CheckpointError for a file that is unreadable,
        too short or damaged.
        """
        file = self._open(path)
        offsets, ahead = range(0, size, CHUNK), RING - 1
        reads: list[Future[int]] = [self._begin(file, i, offset) for i, offset in enumerate(offsets[:ahead])]
        try:
            for index, offset in enumerate(offsets):
                count = min(CHUNK, size - offset)
                if self._result(reads[index], path) < count:
                    raise CheckpointError(f'{path} is damaged (it ends before its {size} bytes); '
                                          'import the model again')
                chunk = self._ring[index % RING][:count]
                if sums and (wrong := differing(chunk, sums, offset)) is not None:
                    raise damaged(path, wrong)
                self._destination.copy(handle, offset, chunk)
                # The next read goes into the buffer whose copy was started one chunk ago.
                if index + ahead < len(offsets):
                    self._destination.synchronize()
                    reads.append(self._begin(file, index + ahead, offsets[index + ahead]))
                if self._plan.drop_cache:
                    os.posix_fadvise(file, offset, count, os.POSIX_FADV_DONTNEED)
                progress(count)
            self._destination.synchronize()
        finally:
            # A pending read must not use a closed file or a buffer that is reused.
            wait(reads)
            os.close(file)

    def _begin(self, file: int, index: int, offset: int) -> Future[int]:
        return self._reader.submit(self._fill, file, self._ring[index % RING], offset)

    def _fill(self, file: int, buffer: memoryview, offset: int) -> int:
        done = 0
        while done < len(buffer):
            got = self._read(file, [buffer[done:]], offset + done)
            done += got
            if got == 0 or got % mmap.PAGESIZE:  # end of file; O_DIRECT reads its last page partially
                break
        return done

    @staticmethod
    def _result(read: Future[int], path: Path) -> int:
        try:
            return read.result()
        except OSError as error:
            raise CheckpointError(f'cannot read {path}: {error.strerror}') from None

    def _open(self, path: Path) -> int:
        flags = os.O_RDONLY | (os.O_DIRECT if self._plan.direct else 0)
        try:
            return os.open(path, flags)
        except OSError as error:
            raise CheckpointError(f'cannot read {path}: {error.strerror}') from None


def _copy(handle: mmap.mmap, offset: int, chunk: memoryview) -> None:
    np.frombuffer(handle, np.uint8, len(chunk), offset)[:] = np.frombuffer(chunk, np.uint8)


def _in_huge_pages(memory: mmap.mmap) -> mmap.mmap:
    """Ask for huge pages, if the system has them: fewer segments per direct read, fewer TLB misses."""
    with suppress(AttributeError, OSError):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return memory


def reads_directly(path: Path) -> bool:
    """Return whether the file system of a file supports O_DIRECT."""
    if not path.is_file():  # opening a pipe would block
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECT)
    except OSError:
        return False
    try:
        return os.preadv(descriptor, [mmap.mmap(-1, mmap.PAGESIZE)], 0) > 0
    except OSError:
        return False
    finally:
        os.close(descriptor)
