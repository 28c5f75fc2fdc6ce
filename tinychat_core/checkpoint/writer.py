# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Write a split checkpoint, shard by shard.

All goes into OUT.partial, which no reader opens (tinychat.json comes last), and is renamed when it is whole. What a killed
run leaves there is used again by the next one of the same source: a shard counts as done once `progress.json` says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
import json
import os
from pathlib import Path
import shutil
from typing import Any, Union

import numpy as np
import numpy.typing as npt

from tinychat_core import __version__
from tinychat_core.checkpoint.checksums import checksums, file_checksum
from tinychat_core.checkpoint.linear import Linear
from tinychat_core.checkpoint.manifest import Manifest, Shard, TensorEntry
from tinychat_core.checkpoint.shard_file import ShardFile, write_shard
from tinychat_core.errors import TinyChatError

Content = Mapping[str, Union[Linear, npt.NDArray[np.float32]]]

_PROGRESS = 'progress.json'


def default_layout(format_: str) -> str:
    """Return the layout that the kernels of today's machines read in place."""
    return 'r16k1' if format_ in ('f16', 'bf16') else 'r16k4'


class CheckpointWriter:
    """Writes OUT; use `add` for each shard in order, then `finish`."""

    def __init__(self, out: Path, shards: int, source: Mapping[str, str], layout: str | None = None) -> None:
        """
        Begin, or go on where a run of the same `source` and layout was cut off; `layout` None is each format's default.

        Raises TinyChatError where OUT exists or cannot be written.
        """
        if out.exists():
            raise TinyChatError(f'{out} exists; remove it or choose another name')
        self._out = out
        self._partial = out.with_name(out.name + '.partial')
        self._count = shards
        self._source = dict(source)
        self._layout = layout
        self._shards: list[Shard] = []
        self._tensors: dict[str, TensorEntry] = {}
        self._done: list[dict[str, Any]] = []
        self._identity = {'source': self._source, 'layout': layout, 'shards': shards, 'generator': __version__}
        try:
            self._resume()
            self._partial.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TinyChatError(f'cannot write {self._partial}: {error}') from None

    def add(self, content: Callable[[], Content]) -> None:
        """Write the next shard; `content` is only called where the shard is not there yet."""
        index = len(self._shards)
        if index < len(self._done):
            done = self._done[index]
            self._shards.append(Shard(**done['shard']))
            self._tensors.update({name: TensorEntry(**entry) for name, entry in done['tensors'].items()})
            return
        arrays: dict[str, npt.NDArray[np.generic]] = {}
        entries: dict[str, TensorEntry] = {}
        for name, tensor in content().items():
            if isinstance(tensor, Linear):
                packed = tensor.packed(self._layout or default_layout(tensor.format))
                arrays.update(packed.tensors(name))
                entries[name] = TensorEntry(index, packed.format, packed.rows, packed.cols, packed.group_size,
                                            packed.layout or '')
            else:
                arrays[name] = np.ascontiguousarray(tensor, dtype=np.float32)
                entries[name] = TensorEntry(index, 'f32', 1, tensor.size)
        file = self._partial / f'model-{index + 1:05d}-of-{self._count:05d}.safetensors'
        try:
            write_shard(file, arrays)
            data = memoryview(ShardFile(file).mapping)
            shard = Shard(file.name, len(data), checksums(data))
            self._done.append({'shard': asdict(shard), 'tensors': {name: asdict(e) for name, e in entries.items()}})
            self._note()
        except OSError as error:
            raise TinyChatError(f'cannot write {file}: {error}') from None
        self._shards.append(shard)
        self._tensors.update(entries)

    def finish(self, *, family: str, model: dict[str, Any], weights: str, group_size: int,
               files: Mapping[str, str | bytes]) -> None:
        """Write the small files and tinychat.json, and give the directory its name."""
        try:
            checks = {}
            for name, text in files.items():
                path = self._partial / name
                path.write_bytes(text if isinstance(text, bytes) else text.encode('utf-8'))
                checks[name] = file_checksum(path)
            (self._partial / _PROGRESS).unlink(missing_ok=True)
            Manifest(family=family, model=model, weights=weights, group_size=group_size, tensors=self._tensors,
                     shards=self._shards, files=checks, source=self._source,
                     generator=f'tinychat {__version__}').write(self._partial)
            for path in self._partial.iterdir():
                _sync(path)
            _sync(self._partial)
            os.rename(self._partial, self._out)
            _sync(self._out.parent)
        except OSError as error:
            raise TinyChatError(f'cannot write {self._out}: {error}') from None

    def _resume(self) -> None:
        """Take over the shards of an earlier run of the same source; anything else in OUT.partial goes."""
        try:
            notes = json.loads((self._partial / _PROGRESS).read_text())
            if notes['identity'] == self._identity:
                self._done = notes['done']
                return
        except (OSError, ValueError, KeyError):
            pass
        shutil.rmtree(self._partial, ignore_errors=True)

    def _note(self) -> None:
        temporary = self._partial / (_PROGRESS + '.new')
        temporary.write_text(json.dumps({'identity': self._identity, 'done': self._done}))
        os.replace(temporary, self._partial / _PROGRESS)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
