# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Write a split checkpoint, part by part: the embedding, each decoder layer, norm and head.

Everything is written to OUT.partial, which no reader opens before it is complete (tinychat.json is written last), and
which is then renamed. The next run of the same source continues after a killed one: a part is done once
`tinychat-progress.json` lists it. Finally parts become shards. Small parts share one, because a core reads weights
faster from pages of 2 MiB, and a file has only as many of these as fit into it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
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
from tinychat_core.checkpoint.manifest import FORMAT_VERSION, Manifest, NAME, Shard, TensorEntry, typed
from tinychat_core.checkpoint.model_config import ModelConfig
from tinychat_core.checkpoint.shard_file import ShardFile, write_shard
from tinychat_core.checkpoint.vision_config import VisionConfig
from tinychat_core.errors import CheckpointError, TinyChatError

Content = Mapping[str, Linear | npt.NDArray[np.float32]]

# Parts share a shard of up to so many bytes.
SHARD_SIZE = 2**25

_PROGRESS = 'tinychat-progress.json'
_PART = re.compile(r'part-\d+\.safetensors')
# File names that only this module uses. All others that a run writes are listed in its notes, then in its manifest.
_OURS = re.compile(rf'{_PART.pattern}|model-\d+-of-\d+\.safetensors|{re.escape(_PROGRESS)}(\.new)?')


class CheckpointWriter:
    """Writes OUT: call `add` for each part in order, then `finish`; a context manager that holds a lock."""

    def __init__(self, out: Path, parts: int, source: Mapping[str, str], layout: str | None = None,
                 shard_size: int = SHARD_SIZE) -> None:
        """
        Start, or continue an interrupted run of the same source.

        `source` identifies the source. `layout` None is the default of each format. Parts share a shard up to
        `shard_size` bytes; 0 gives each its own. Raises TinyChatError where OUT exists, cannot be written or is being
        written by another process, and where OUT.partial is a link or contains a file that no run wrote: only files
        that a run wrote are ever removed.
        """
        if os.path.lexists(out):
            raise TinyChatError(f'{out} exists; remove it or choose another name')
        self._out = out
        self._partial = out.with_name(out.name + '.partial')
        self._count, self._added = parts, 0
        self._source = dict(source)
        self._layout = layout
        self._shard_size = shard_size
        self._identity = {'source': self._source, 'layout': layout, 'parts': parts,
                          'generator': __version__, 'format_version': FORMAT_VERSION}
        try:
            if self._partial.is_symlink():
                raise TinyChatError(f'{self._partial} is a link; remove it or choose another name')
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
        """Return the writer."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        """Release the lock; an unfinished checkpoint stays for the next run."""
        os.close(self._lock)

    @property
    def parts_done(self) -> int:
        """Number of complete parts, including those of an earlier run."""
        return len(self._done)

    def add(self, content: Callable[[], Content]) -> None:
        """Write the next part; `content` is called only where the part does not exist yet."""
        if self._added == len(self._done):
            try:
                self._done.append(self._write(content()))
                self._note()
            except OSError as error:
                raise _cannot_write(self._partial, error) from None
        self._added += 1

    def finish(self, *, family: str, model: ModelConfig, files: Mapping[str, bytes],
               vision: VisionConfig | None = None) -> None:
        """Turn the parts into shards, write the small files and tinychat.json, and rename the directory."""
        assert self._added == self._count
        try:
            groups = self._groups()
            shards, tensors = self._shards(groups)
            weights, group_size = _main_format(tensors)
            manifest = Manifest(
                family=family, model=model, weights=weights, group_size=group_size, tensors=tensors, shards=shards,
                files={name: checksum(content) for name, content in files.items()}, source=self._source,
                generator=f'tinychat {__version__}', vision=vision)
            small = {**files, NAME: manifest.text().encode()}
            self._note([*small])
            for name, content in small.items():
                _write_small(self._partial / name, content)
            (self._partial / _PROGRESS).unlink(missing_ok=True)
            for group, shard in zip(groups, shards, strict=True):
                for part in group:
                    if len(group) == 1:
                        os.rename(self._partial / part['shard']['file'], self._partial / shard.file)
                    else:
                        (self._partial / part['shard']['file']).unlink()
            os.fsync(self._lock)
            os.rename(self._partial, self._out)
            _sync_directory(self._out.parent)
        except OSError as error:
            raise _cannot_write(self._out, error) from None

    def _write(self, content: Content) -> dict[str, Any]:
        arrays: dict[str, npt.NDArray[np.generic]] = {}
        entries: dict[str, TensorEntry] = {}
        orders = {f'{name}.input_order': tensor.order.stored() for name, tensor in content.items()
                  if isinstance(tensor, Linear) and tensor.order is not None}
        for name, tensor in {**content, **orders}.items():
            if isinstance(tensor, Linear):
                packed = tensor.packed(self._layout or FORMATS[tensor.format].layout)
                arrays.update({f'{name}.{suffix}': array for suffix, array in packed.arrays().items()})
                entries[name] = TensorEntry(0, packed.format, packed.rows, packed.cols, packed.group_size,
                                            packed.layout or '')
            else:
                arrays[name] = np.ascontiguousarray(tensor, dtype=np.float32)
                entries[name] = TensorEntry(0, 'f32', 1, tensor.size)
        return {'shard': asdict(self._shard(f'part-{len(self._done) + 1:05d}.safetensors', arrays)),
                'tensors': {name: asdict(entry) for name, entry in entries.items()}}

    def _shard(self, name: str, arrays: Mapping[str, npt.NDArray[Any]]) -> Shard:
        write_shard(self._partial / name, arrays)
        written = ShardFile(self._partial / name)
        data = memoryview(written.mapping)
        shard = Shard(name, len(data), checksums(data))
        written.forget()  # cached in small pages; a reader wants large ones
        return shard

    def _groups(self) -> list[list[dict[str, Any]]]:
        """Return the notes of the parts, grouped by shard."""
        groups: list[list[dict[str, Any]]] = []
        left = 0
        for part in self._done:
            left -= part['shard']['bytes']
            if left < 0:
                groups.append([])
                left = self._shard_size - part['shard']['bytes']
            groups[-1].append(part)
        return groups

    def _shards(self, groups: list[list[dict[str, Any]]]) -> tuple[list[Shard], dict[str, TensorEntry]]:
        """Write the shards of more than one part; return all shards and the tensors of each."""
        shards, tensors = [], dict[str, TensorEntry]()
        for index, group in enumerate(groups):
            name = f'model-{index + 1:05d}-of-{len(groups):05d}.safetensors'
            tensors.update({tensor: replace(TensorEntry(**entry), shard=index)
                            for part in group for tensor, entry in part['tensors'].items()})
            if len(group) == 1:
                shards.append(replace(Shard(**group[0]['shard']), file=name))
            else:
                parts = [ShardFile(self._partial / part['shard']['file']) for part in group]
                shards.append(self._shard(name, {tensor: part.array(tensor) for part in parts for tensor in part.shapes
                                                 if not tensor.startswith('_pad.')}))
        return shards, tensors

    def _resume(self) -> list[dict[str, Any]]:
        """Return the notes of the complete parts of an earlier run of the same source; remove all other files."""
        notes = self._notes()
        found = list(self._partial.iterdir())
        for path in found:
            is_ours = _OURS.fullmatch(path.name) or path.name in notes['files']
            if not is_ours or path.is_symlink() or not path.is_file():
                raise TinyChatError(f'{path} was not written by tinychat; remove {self._partial} or choose another '
                                    'name')
        done: list[dict[str, Any]] = []
        try:
            for note in notes['done'] if notes['identity'] == self._identity else ():
                shard = typed(Shard, note['shard'])
                for entry in note['tensors'].values():
                    typed(TensorEntry, entry)
                data = memoryview(ShardFile(self._partial / shard.file).mapping)
                if not _PART.fullmatch(shard.file) or len(data) != shard.bytes or checksums(data) != shard.xxh3:
                    break
                done.append(note)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, CheckpointError):
            pass  # damaged notes: keep the parts before the damage
        keep = {note['shard']['file'] for note in done}
        # Last what lists the others: should this be killed, the next run still knows them.
        for path in sorted(found, key=lambda path: path.name in {NAME, _PROGRESS}):
            if path.name not in keep:
                path.unlink()
        return done

    def _notes(self) -> dict[str, Any]:
        """Return the notes of the last run; if it had written the manifest, the small files that this lists."""
        nothing: dict[str, Any] = {'identity': None, 'done': [], 'files': []}
        try:
            notes = json.loads((self._partial / _PROGRESS).read_bytes())
            return notes if isinstance(notes, dict) and set(notes) == set(nothing) else nothing
        except (ValueError, RecursionError):
            return nothing
        except FileNotFoundError:
            try:
                return {**nothing, 'files': [NAME, *Manifest.read(self._partial).files]}
            except CheckpointError:
                return nothing

    def _note(self, files: Sequence[str] = ()) -> None:
        """Save the notes: complete parts, and the small files that are written next."""
        _write_small(self._partial / (_PROGRESS + '.new'),
                     json.dumps({'identity': self._identity, 'done': self._done, 'files': files}).encode())
        os.replace(self._partial / (_PROGRESS + '.new'), self._partial / _PROGRESS)


def _main_format(tensors: Mapping[str, TensorEntry]) -> tuple[str, int]:
    """Return the kind of weights that most elements of the decoder layers have (W4, W5, …), and its group size."""
    kinds, sizes = Counter[str](), Counter[tuple[str, int]]()
    for name, entry in tensors.items():
        if entry.format in FORMATS and name.startswith('layers.'):
            kind, numbers = FORMATS[entry.format].family, entry.rows * entry.cols
            kinds[kind] += numbers
            sizes[kind, entry.group_size] += numbers
    kind = max(kinds, key=kinds.__getitem__)
    return kind, max((size for size in sizes if size[0] == kind), key=sizes.__getitem__)[1]


def _locked(directory: Path) -> int:
    """Return a descriptor that holds the lock of a directory; the system releases it when the process ends."""
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
