# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Open a split checkpoint: everything verified, nothing copied."""

from __future__ import annotations

from collections.abc import Callable
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tinychat_core.checkpoint.checksums import file_checksum, verify as verify_shards
from tinychat_core.checkpoint.linear import Linear
from tinychat_core.checkpoint.manifest import Manifest
from tinychat_core.checkpoint.shard_file import ShardFile
from tinychat_core.errors import CheckpointError


class Checkpoint:
    """An open checkpoint; its arrays are views of the mapped shards and live as long as anyone holds one."""

    def __init__(self, path: Path, manifest: Manifest, shards: list[ShardFile]) -> None:
        """Hold what `open` has verified."""
        self.path = path
        self.manifest = manifest
        self._shards = shards

    @classmethod
    def open(cls, path: str | os.PathLike[str], verify: bool = True,
             progress: Callable[[float], None] | None = None) -> Checkpoint:
        """
        Map the shards of the directory `path`.

        `verify` compares all checksums, else only sizes; `progress` is told the fraction verified. Raises CheckpointError,
        naming the file, for whatever is missing, short, damaged or too new.
        """
        directory = Path(path)
        if not directory.is_dir():
            raise CheckpointError(f'{directory} is not a directory; give the path of a split checkpoint')
        manifest = Manifest.read(directory)
        files = []
        for shard in manifest.shards:
            file = directory / shard.file
            if not file.is_file():
                raise CheckpointError(f'{file} is missing; import the model again')
            size = file.stat().st_size
            if size != shard.bytes:
                raise CheckpointError(f'{file} is damaged ({size} bytes instead of {shard.bytes}); import the model again')
            files.append(file)
        mapped = [ShardFile(file) for file in files]
        if verify:
            for name, expected in manifest.files.items():
                if not (directory / name).is_file():
                    raise CheckpointError(f'{directory / name} is missing; import the model again')
                if file_checksum(directory / name) != expected:
                    raise CheckpointError(f'{directory / name} is not the file that was imported (its checksum differs); '
                                          'import the model again')
            verify_shards([(shard.path, entry, memoryview(shard.mapping))
                           for shard, entry in zip(mapped, manifest.shards)], progress or (lambda _: None))
        return cls(directory, manifest, mapped)

    def array(self, name: str) -> npt.NDArray[np.float32]:
        """Return a vector as a view."""
        array = self._shard(name).array(name)
        if array.dtype != np.float32:
            raise CheckpointError(f'{self.path}: {name} is not a vector of float32; import the model again')
        return array  # type: ignore[return-value]

    def linear(self, name: str) -> Linear:
        """Return a matrix whose arrays are views, in the layout that the manifest names."""
        entry = self.manifest.tensors[name]
        shard = self._shard(name)
        parts = {part: shard.array(f'{name}.{part}') for part in ('scales', 'mins', 'zeros') if f'{name}.{part}' in shard}
        weight = shard.array(f'{name}.weight' if entry.format in ('f16', 'bf16') else f'{name}.qweight')
        return Linear(entry.format, entry.rows, entry.cols, entry.group_size, entry.layout, weight, **parts)

    def close(self) -> None:
        """Let go of the mapping; it ends with the last array that looks into it."""
        self._shards = []

    def _shard(self, name: str) -> ShardFile:
        try:
            return self._shards[self.manifest.tensors[name].shard]
        except KeyError:
            raise CheckpointError(f'{self.path} has no tensor {name}; import the model again') from None
