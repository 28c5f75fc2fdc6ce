# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Copy a file into a destination through a small ring of buffers, verified on the way.

Two chunks are read while another is verified and copied, so the slower of disk and destination sets the
pace, and beside the destination the ring is all that is needed.
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
from tinychat_core.loading.load_mode import CHUNK, Placement, RING

_PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS

Progress = Callable[[int], None]  # told the bytes of each chunk; may raise to end it


class Destination(Protocol):
    """Memory that kernels read: of the host, or (WeightMemory of the native module) of a device."""

    def buffer(self, size: int) -> memoryview:
        """Return memory of the host, aligned to a page, that `copy` takes chunks from."""

    def copy(self, handle: Any, offset: int, chunk: memoryview) -> None:
        """Begin to copy a chunk to an offset of what a handle means; it is left alone until `synchronize` returns."""

    def synchronize(self) -> None:
        """Wait until all chunks are copied."""


class HostMemory:
    """
    Anonymous memory of the host; a handle is an mmap.mmap.

    Most of a copy's time may go into the first touch of its pages, which the system provides faster to two threads.
    """

    def __init__(self) -> None:
        """Prepare two threads; they end with this."""
        self._copiers = ThreadPoolExecutor(2, 'checkpoint-copier')
        self._copies: list[Future[None]] = []

    def allocate(self, size: int) -> mmap.mmap:
        """Reserve pages, each provided when it is first written; MemoryError where there is no room."""
        try:
            memory = mmap.mmap(-1, size, _PRIVATE)
        except OSError as error:
            raise MemoryError(f'no room for {size} bytes: {error.strerror}') from None
        return _in_huge_pages(memory)

    def buffer(self, size: int) -> memoryview:
        """Return pages."""
        return memoryview(self.allocate(size))

    def copy(self, handle: mmap.mmap, offset: int, chunk: memoryview) -> None:
        """Begin; numpy lets go of the GIL meanwhile."""
        half = len(chunk) // 2
        self._copies += [self._copiers.submit(_copy, handle, offset, chunk[:half]),
                         self._copiers.submit(_copy, handle, offset + half, chunk[half:])]

    def synchronize(self) -> None:
        """Wait for both."""
        for copy in self._copies:
            copy.result()
        self._copies.clear()


class Staging:
    """A ring of page-aligned buffers between files and a destination; a context manager that ends its threads."""

    def __init__(self, destination: Destination, placement: Placement,
                 read: Callable[[int, list[memoryview], int], int] = os.preadv) -> None:
        """Allocate the ring; `read` is os.preadv, or what a test puts in its place."""
        self._destination = destination
        self._placement = placement
        self._read = read
        self._ring = [destination.buffer(CHUNK) for _ in range(RING)]
        self._reader = ThreadPoolExecutor(RING - 1, 'checkpoint-reader')

    def __enter__(self) -> Staging:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for the reads under way, and let go of the ring."""
        self._reader.shutdown(cancel_futures=True)
        self._ring.clear()

    def place(self, path: Path, size: int, sums: Sequence[str], handle: Any,
              progress: Progress = lambda _: None) -> None:
        """
        Copy a whole file to where the destination's `handle` means.

        `sums`: the checksums of each MiB, or none to verify nothing. Raises CheckpointError for what cannot be
        read, ends too early or is damaged.
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
                # The buffer that is read into next is the one whose copy began a chunk ago.
                if index + ahead < len(offsets):
                    self._destination.synchronize()
                    reads.append(self._begin(file, index + ahead, offsets[index + ahead]))
                if self._placement.drop:
                    os.posix_fadvise(file, offset, count, os.POSIX_FADV_DONTNEED)
                progress(count)
            self._destination.synchronize()
        finally:
            # A read that is still under way must not meet a closed file, or a buffer that is used anew.
            wait(reads)
            os.close(file)

    def _begin(self, file: int, index: int, offset: int) -> Future[int]:
        return self._reader.submit(self._fill, file, self._ring[index % RING], offset)

    def _fill(self, file: int, buffer: memoryview, offset: int) -> int:
        done = 0
        while done < len(buffer):
            got = self._read(file, [buffer[done:]], offset + done)
            done += got
            if got == 0 or got % mmap.PAGESIZE:  # the end of the file, whose last page O_DIRECT reads in part
                break
        return done

    @staticmethod
    def _result(read: Future[int], path: Path) -> int:
        try:
            return read.result()
        except OSError as error:
            raise CheckpointError(f'cannot read {path}: {error.strerror}') from None

    def _open(self, path: Path) -> int:
        flags = os.O_RDONLY | (os.O_DIRECT if self._placement.direct else 0)
        try:
            return os.open(path, flags)
        except OSError as error:
            raise CheckpointError(f'cannot read {path}: {error.strerror}') from None


def _copy(handle: mmap.mmap, offset: int, chunk: memoryview) -> None:
    np.frombuffer(handle, np.uint8, len(chunk), offset)[:] = np.frombuffer(chunk, np.uint8)


def _in_huge_pages(memory: mmap.mmap) -> mmap.mmap:
    """Ask for huge pages: fewer segments of a direct read, fewer TLB misses of a kernel; some systems have none."""
    with suppress(AttributeError, OSError):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return memory


def reads_directly(path: Path) -> bool:
    """Return whether the file system of a file reads past the page cache."""
    if not path.is_file():  # a pipe would be waited for
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
