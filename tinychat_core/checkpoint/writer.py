# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Write a split checkpoint, shard by shard.

All goes into OUT.partial, which no reader opens until it is whole (tinychat.json comes last), and is then
renamed. What a killed run leaves there is used again by the next one of the same source: a shard counts as
done once `progress.json` says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict
import fcntl
import json
import os
from pathlib import Path
import re
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from tinychat_core import __version__
from tinychat_core.checkpoint.checksums import checksum, checksums
from tinychat_core.checkpoint.formats import FORMATS
from tinychat_core.checkpoint.linear import Linear
from tinychat_core.checkpoint.manifest import FORMAT_VERSION, Manifest, NAME, Shard, TensorEntry
from tinychat_core.checkpoint.shard_file import ShardFile, write_shard
from tinychat_core.errors import CheckpointError, TinyChatError

Content = Mapping[str, Linear | npt.NDArray[np.float32]]

_PROGRESS = 'progress.json'
_SHARD = re.compile(r'model-\d+-of-\d+\.safetensors')
_SUFFIXES = ('.safetensors', '.json', '.jinja', '.new')  # of what this module writes


class CheckpointWriter:
    """Writes OUT: `add` for each shard in order, then `finish`; a context manager, which holds a lock."""

    def __init__(self, out: Path, shards: int, source: Mapping[str, str], layout: str | None = None) -> None:
        """
        Begin, or go on where a run of the same source was cut off.

        `source` tells two sources apart. `layout` None is each format's default. Raises TinyChatError where
        OUT exists, cannot be written or is being written by another process.
        """
        if os.path.lexists(out):
            raise TinyChatError(f'{out} exists; remove it or choose another name')
        self._out = out
        self._partial = out.with_name(out.name + '.partial')
        self._count = shards
        self._source = dict(source)
        self._layout = layout
        self._shards: list[Shard] = []
        self._tensors: dict[str, TensorEntry] = {}
        self._identity = {'source': self._source, 'layout': layout, 'shards': shards,
                          'generator': __version__, 'format_version': FORMAT_VERSION}
        try:
            self._partial.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(self._partial)
            try:
                self._done = self._resume()
            except BaseException:
                os.close(self._lock)
                raise
        except OSError as error:
            raise _cannot_write(self._partial, error) from None

    def __enter__(self) -> CheckpointWriter:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        """Let go of the lock; what is not finished stays, for the next run."""
        os.close(self._lock)

    @property
    def shards_done(self) -> int:
        """Shards that are whole, those of a run before included."""
        return len(self._done)

    def add(self, content: Callable[[], Content]) -> None:
        """Write the next shard; `content` is only called where the shard is not there yet."""
        index = len(self._shards)
        if index == len(self._done):
            try:
                self._done.append(self._write(index, content()))
                self._note()
            except OSError as error:
                raise _cannot_write(self._partial, error) from None
        done = self._done[index]
        self._shards.append(Shard(**done['shard']))
        self._tensors.update({name: TensorEntry(**entry) for name, entry in done['tensors'].items()})

    def finish(self, *, family: str, model: dict[str, Any], files: Mapping[str, bytes]) -> None:
        """Write the small files and tinychat.json, and give the directory its name."""
        assert len(self._shards) == self._count
        weights, group_size = _precision(self._tensors)
        manifest = Manifest(
            family=family, model=model, weights=weights, group_size=group_size, tensors=self._tensors,
            shards=self._shards, files={name: checksum(content) for name, content in files.items()},
            source=self._source, generator=f'tinychat {__version__}')
        try:
            for name, content in {**files, NAME: manifest.text().encode()}.items():
                _write_small(self._partial / name, content)
            (self._partial / _PROGRESS).unlink(missing_ok=True)
            os.fsync(self._lock)
            os.rename(self._partial, self._out)
            _sync_directory(self._out.parent)
        except OSError as error:
            raise _cannot_write(self._out, error) from None

    def _write(self, index: int, content: Content) -> dict[str, Any]:
        arrays: dict[str, npt.NDArray[np.generic]] = {}
        entries: dict[str, TensorEntry] = {}
        for name, tensor in content.items():
            if isinstance(tensor, Linear):
                packed = tensor.packed(self._layout or FORMATS[tensor.format].layout)
                arrays.update({f'{name}.{part}': array for part, array in packed.parts().items()})
                entries[name] = TensorEntry(index, packed.format, packed.rows, packed.cols, packed.group_size,
                                            packed.layout or '')
            else:
                arrays[name] = np.ascontiguousarray(tensor, dtype=np.float32)
                entries[name] = TensorEntry(index, 'f32', 1, tensor.size)
        file = self._partial / f'model-{index + 1:05d}-of-{self._count:05d}.safetensors'
        write_shard(file, arrays)
        written = ShardFile(file)
        data = memoryview(written.mapping)
        shard = Shard(file.name, len(data), checksums(data))
        written.forget()  # written in small pages; who loads it wants large ones
        return {'shard': asdict(shard),
                'tensors': {name: asdict(entry) for name, entry in entries.items()}}

    def _resume(self) -> list[dict[str, Any]]:
        """Return the notes of the shards that a run of the same source left whole; remove the rest."""
        done: list[dict[str, Any]] = []
        try:
            notes = json.loads((self._partial / _PROGRESS).read_text())
            if notes['identity'] == self._identity:
                for note in notes['done']:
                    data = memoryview(ShardFile(self._partial / note['shard']['file']).mapping)
                    if len(data) != note['shard']['bytes'] or checksums(data) != note['shard']['xxh3']:
                        break
                    done.append(note)
        except (OSError, ValueError, KeyError, TypeError, CheckpointError):
            pass  # no notes, or damaged ones: what they told so far is what is kept
        keep = {note['shard']['file'] for note in done}
        found = list(self._partial.iterdir())
        for path in found:
            if path.suffix not in _SUFFIXES or (path.suffix == '.safetensors' and not _SHARD.fullmatch(path.name)):
                raise TinyChatError(f'{path} is not ours; remove {self._partial} or choose another name')
        for path in found:
            if path.name not in keep:
                path.unlink()
        return done

    def _note(self) -> None:
        _write_small(self._partial / (_PROGRESS + '.new'),
                     json.dumps({'identity': self._identity, 'done': self._done}).encode())
        os.replace(self._partial / (_PROGRESS + '.new'), self._partial / _PROGRESS)


def _precision(tensors: Mapping[str, TensorEntry]) -> tuple[str, int]:
    """Return the kind of weights that most of the numbers in the decoder layers have, and their group size."""
    kinds, sizes = Counter[str](), Counter[tuple[str, int]]()
    for name, entry in tensors.items():
        if entry.format in FORMATS and name.startswith('layers.'):
            kind, numbers = FORMATS[entry.format].family, entry.rows * entry.cols
            kinds[kind] += numbers
            sizes[kind, entry.group_size] += numbers
    kind = max(kinds, key=kinds.__getitem__)
    return kind, max((size for size in sizes if size[0] == kind), key=sizes.__getitem__)[1]


def _locked(directory: Path) -> int:
    """Return a descriptor that holds a directory's lock; it ends with the process, however that ends."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise TinyChatError(f'another process is writing {directory}; wait for it to end') from None
        raise
    return descriptor


def _write_small(path: Path, content: bytes) -> None:
    with open(path, 'wb') as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cannot_write(path: Path, error: OSError) -> TinyChatError:
    return TinyChatError(f'cannot write {error.filename or path}: {error.strerror}')
