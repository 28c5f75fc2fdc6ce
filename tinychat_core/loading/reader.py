# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Open a split checkpoint: map or copy its shards, and verify them."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tinychat_core._tinychat import MappingGuard, WeightMemory
from tinychat_core.checkpoint.checksums import checksum
from tinychat_core.checkpoint.formats import FORMATS, stored
from tinychat_core.checkpoint.input_order import InputOrder
from tinychat_core.checkpoint.linear import Linear
from tinychat_core.checkpoint.manifest import Manifest, TensorEntry
from tinychat_core.checkpoint.shard_file import ShardFile
from tinychat_core.errors import CheckpointError, InvalidParameterError
from tinychat_core.loading.background_check import BackgroundCheck
from tinychat_core.loading.copies import copy_to_device, host_copies, ignore_progress, Progress
from tinychat_core.loading.load_mode import Device, LoadMode, LoadPlan, MAP_IN_PLACE
from tinychat_core.loading.mapped_pages import lock_pages, prefer_huge
from tinychat_core.loading.verification import VERIFY, verify_files
from tinychat_core.regular_file import read_file

_LOG = logging.getLogger(__name__)


class Checkpoint:
    """An open checkpoint; its arrays are views of the shards, which stay in memory as long as a view exists."""

    def __init__(self, path: Path, manifest: Manifest, shards: list[ShardFile], plan: LoadPlan) -> None:
        """Take opened shards; use `open`."""
        self.path = path
        self.manifest = manifest
        self.plan = plan
        self._shards = shards
        mapped = plan.mode is not LoadMode.STAGED
        self._guards = [MappingGuard(shard.mapping) for shard in shards] if mapped else []
        self._background: BackgroundCheck | None = None
        self._warned = False
        self._verify_copies = True
        self._progress: Progress = ignore_progress

    @classmethod
    def open(cls, path: str | os.PathLike[str], verify: str = 'full', progress: Progress | None = None,
             *, plan: LoadPlan = MAP_IN_PLACE, early: bool = False, lock: bool = False) -> Checkpoint:
        """
        Map the shards of the directory `path`, or copy them into host memory, as `plan` says.

        Shards for a device are not read yet: arrays only hold addresses in the mapping, and `copy_to_device` reads and
        verifies the files.

        `verify`: full compares all checksums, size only file sizes; `progress` receives the fraction verified and may
        raise an exception to stop. `early`: return while verification continues; `settle` waits for it. `lock`: keep
        the mapping in memory. Raises CheckpointError, naming the file, for one that is missing, short, damaged or too
        new.
        """
        if verify not in VERIFY:
            raise InvalidParameterError(f"verify = '{verify}' is unknown; use {' or '.join(VERIFY)}")
        directory = Path(path)
        report, device = progress or ignore_progress, plan.device is not Device.CPU
        try:
            manifest = Manifest.read(directory)
            for shard in manifest.shards:
                _check_size(directory / shard.file, shard.bytes)
            if verify == 'full':
                for name, expected in manifest.files.items():
                    _check_small_file(directory / name, expected)
            if plan.mode is LoadMode.STAGED and not device:
                copies = host_copies(directory, manifest.shards, verify == 'full', plan, report)
                return cls(directory, manifest, copies, plan)
            if plan.mode is LoadMode.MAPPED:
                shards = [ShardFile(directory / shard.file, prepare=prefer_huge) for shard in manifest.shards]
            else:
                shards = [ShardFile(directory / shard.file) for shard in manifest.shards]
            checkpoint = cls(directory, manifest, shards, plan)
        except OSError as error:
            raise CheckpointError(f'cannot read {error.filename or directory}: {error.strerror}') from None
        if plan.mode is LoadMode.STAGED:
            checkpoint._verify_copies, checkpoint._progress = verify == 'full', report
            return checkpoint
        if lock:
            checkpoint._lock()
        if verify == 'full':
            checkpoint._verify(report, early)
        return checkpoint

    def copy_to_device(self, memory: WeightMemory) -> None:
        """
        Copy the shards to a device; called again after a reset of the device, then without reporting progress.

        Raises CheckpointError for a file that is damaged, unreadable or has been changed since.
        """
        progress, self._progress = self._progress, ignore_progress
        copy_to_device(memory, self._shards, self.manifest.shards, self._verify_copies, self.plan, progress)

    def _verify(self, progress: Progress, early: bool) -> None:
        files = [(file.path, file.mapping, shard.xxh3)
                 for file, shard in zip(self._shards, self.manifest.shards, strict=True)]
        if early:
            self._background = BackgroundCheck(lambda report: verify_files(files, report), progress)
        else:
            verify_files(files, progress)
            self.check()

    def settle(self) -> None:
        """Wait for the verification that `open` left running; raises its CheckpointError every time."""
        if self._background is not None:
            self._background.result()

    def check(self) -> None:
        """Raise CheckpointError if a lost page of a mapped file was read; takes almost no time."""
        self.settle()
        for shard, guard in zip(self._shards, self._guards, strict=False):
            if guard.lost:
                raise CheckpointError(f'{shard.path} has been cut short while it was in use; load the model again')

    def check_files(self) -> str:
        """
        Return a warning if a mapped file has been replaced or removed on disk: the mapped one is still intact.

        Raises CheckpointError if a file has been written to or truncated since it was opened.
        """
        warning = ''
        for shard, _ in zip(self._shards, self._guards, strict=False):
            if shard.is_changed():
                raise CheckpointError(f'{shard.path} has been changed while it was in use; load the model again')
            if not warning and not shard.is_here():
                warning = f'{shard.path} has been replaced or removed; the model that was loaded still answers'
        return warning

    def _lock(self) -> None:
        """Lock the mapping in memory; log a warning if the system does not allow it."""
        for shard in self._shards:
            reason = lock_pages(shard.mapping)
            if reason:
                _LOG.warning('the weights are not locked in memory: %s', reason)
                return

    def array(self, name: str) -> npt.NDArray[np.float32]:
        """Return a vector as a view; CheckpointError if there is no such vector."""
        entry, shard = self._find(name)
        array = shard.array(name)
        if array.dtype != np.float32 or array.size != entry.cols:
            raise CheckpointError(f'{shard.path}: {name} is not a vector of {entry.cols} numbers; '
                                  'import the model again')
        return array.reshape(-1)

    def linear(self, name: str) -> Linear:
        """
        Return a matrix in the layout that the kernels read; raises as `array`.

        Its arrays are views of the file, or copies (with one warning) if the file has another layout.
        """
        linear = self.stored_linear(name)
        wanted = FORMATS[linear.format].layout
        if linear.layout != wanted and not self._warned:
            self._warned = True
            _LOG.warning('%s has the layout %s; its weights are converted to %s, which takes time and memory',
                         self.path, linear.layout, wanted)
        return linear.packed(wanted)

    def stored_linear(self, name: str) -> Linear:
        """Return a matrix as views of the file, in the layout that it is stored in; raises as `array`."""
        entry, shard = self._find(name)
        parts = {}
        expected = stored(entry.format, entry.rows, entry.cols, entry.group_size, entry.layout)
        for part, (kind, count) in expected.items():
            array = shard.array(f'{name}.{part}')
            if array.dtype != kind or array.size != count:
                raise CheckpointError(f'{shard.path}: {name}.{part} does not fit the format {entry.format}; '
                                      'import the model again')
            parts[part] = array.reshape(-1)
        weight = parts.pop(FORMATS[entry.format].weight_name)
        return Linear(entry.format, entry.rows, entry.cols, entry.group_size, entry.layout, weight, **parts,
                      order=self._order(name, entry))

    def _order(self, name: str, entry: TensorEntry) -> InputOrder | None:
        if f'{name}.input_order' not in self.manifest.tensors:
            return None
        try:
            return InputOrder.read(self.array(f'{name}.input_order'), entry.rows, entry.cols)
        except ValueError as error:
            raise CheckpointError(f'{self.path}: {name}.input_order is damaged ({error}); '
                                  'import the model again') from None

    def close(self) -> None:
        """Release the shards; a mapping is unmapped once its last view is gone."""
        if self._background is not None:
            self._background.stop()
        self._shards, self._guards = [], []

    def _find(self, name: str) -> tuple[TensorEntry, ShardFile]:
        try:
            entry = self.manifest.tensors[name]
        except KeyError:
            raise CheckpointError(f'{self.path} has no tensor {name}; import the model again') from None
        return entry, self._shards[entry.shard]


def _check_size(file: Path, expected: int) -> None:
    if not file.is_file():
        raise CheckpointError(f'{file} is missing; import the model again')
    size = file.stat().st_size
    if size != expected:
        raise CheckpointError(f'{file} is damaged ({size} bytes, not {expected}); import the model again')


def _check_small_file(file: Path, expected: str) -> None:
    if not file.is_file():
        raise CheckpointError(f'{file} is missing; import the model again')
    if checksum(read_file(file)) != expected:
        raise CheckpointError(f'{file} has been changed (its checksum differs); import the model again')
