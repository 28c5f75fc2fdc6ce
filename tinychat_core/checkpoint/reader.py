# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Open a split checkpoint: everything verified, nothing copied."""

from __future__ import annotations

from collections.abc import Callable
import logging
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tinychat_core.checkpoint.checksums import checksum, verify as verify_files
from tinychat_core.checkpoint.formats import FORMATS, stored
from tinychat_core.checkpoint.linear import Linear
from tinychat_core.checkpoint.manifest import Manifest, TensorEntry
from tinychat_core.checkpoint.shard_file import ShardFile
from tinychat_core.errors import CheckpointError

_LOG = logging.getLogger(__name__)


class Checkpoint:
    """An open checkpoint; its arrays are views of the mapped shards and live as long as anyone holds one."""

    def __init__(self, path: Path, manifest: Manifest, shards: list[ShardFile]) -> None:
        """Hold what `open` has verified."""
        self.path = path
        self.manifest = manifest
        self._shards = shards
        self._told = False

    @classmethod
    def open(cls, path: str | os.PathLike[str], verify: bool = True,
             progress: Callable[[float], None] | None = None) -> Checkpoint:
        """
        Map the shards of the directory `path`.

        `verify` compares all checksums, else only sizes; `progress` is told the fraction verified. Raises
        CheckpointError, naming the file, for whatever is missing, short, damaged or too new.
        """
        directory = Path(path)
        try:
            manifest = Manifest.read(directory)
            for shard in manifest.shards:
                _check_size(directory / shard.file, shard.bytes)
            shards = [ShardFile(directory / shard.file) for shard in manifest.shards]
            if verify:
                for name, expected in manifest.files.items():
                    _check_small_file(directory / name, expected)
                verify_files([(file.path, file.mapping, shard.xxh3)
                              for file, shard in zip(shards, manifest.shards, strict=True)],
                             progress or (lambda _: None))
        except OSError as error:
            raise CheckpointError(f'cannot read {error.filename or directory}: {error.strerror}') from None
        return cls(directory, manifest, shards)

    def array(self, name: str) -> npt.NDArray[np.float32]:
        """Return a vector as a view; CheckpointError where there is none of that name."""
        entry, shard = self._find(name)
        array = shard.array(name)
        if array.dtype != np.float32 or array.size != entry.cols:
            raise CheckpointError(f'{shard.path}: {name} is no vector of {entry.cols}; '
                                  'import the model again')
        return array.reshape(-1)

    def linear(self, name: str) -> Linear:
        """
        Return a matrix in the layout that the kernels read; CheckpointError as `array`.

        Its arrays are views of the file. Only where that has another layout they are copies, and the log says so once.
        """
        entry, shard = self._find(name)
        parts = {}
        expected = stored(entry.format, entry.rows, entry.cols, entry.group_size, entry.layout)
        for part, (kind, count) in expected.items():
            array = shard.array(f'{name}.{part}')
            if array.dtype != kind or array.size != count:
                raise CheckpointError(f'{shard.path}: {name}.{part} is not what {entry.format} stores; '
                                      'import the model again')
            parts[part] = array.reshape(-1)
        weight = parts.pop(FORMATS[entry.format].weight_name)
        linear = Linear(entry.format, entry.rows, entry.cols, entry.group_size, entry.layout, weight, **parts)
        wanted = FORMATS[entry.format].layout
        if entry.layout != wanted and not self._told:
            self._told = True
            _LOG.warning('%s has the layout %s; its weights are copied into %s, which takes time and memory',
                         self.path, entry.layout, wanted)
        return linear.packed(wanted)

    def close(self) -> None:
        """Let go of the mapping; it ends with the last array that looks into it."""
        self._shards = []

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
    if checksum(file.read_bytes()) != expected:
        raise CheckpointError(f'{file} has been changed (its checksum differs); import the model again')
