# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Rewrite a checkpoint with other shards or in another layout; the values stay the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
import json
from pathlib import Path

from tinychat_core.checkpoint.checksums import checksum
from tinychat_core.checkpoint.formats import FORMATS, stored
from tinychat_core.checkpoint.layouts import LAYOUTS
from tinychat_core.checkpoint.manifest import Manifest, TensorEntry
from tinychat_core.checkpoint.shard_file import ALIGNMENT, PAGE
from tinychat_core.checkpoint.writer import CheckpointWriter, Content
from tinychat_core.errors import InvalidParameterError
from tinychat_core.loading.reader import Checkpoint

_HEADER = 256  # upper bound of a tensor's bytes in the header of a shard


def split(source: Path, out: Path, max_shard_size: int | None = None, layout: str | None = None,
          progress: Callable[[float], None] = lambda fraction: None) -> None:
    """
    Write the checkpoint `source` to `out`, in shards of at most `max_shard_size` bytes.

    Without a size the shards stay the same; `layout` None is the one that the kernels read in place. A decoder layer
    may span shards, a matrix may not. Raises InvalidParameterError where one is larger, and as Checkpoint.open and
    CheckpointWriter.
    """
    if layout is not None and layout not in LAYOUTS:
        raise InvalidParameterError(f'the layout {layout} is unknown; use {", ".join(LAYOUTS)}')
    manifest = Manifest.read(source)
    shards = _shards(manifest, max_shard_size, layout)
    checkpoint = Checkpoint.open(source, progress=lambda fraction: progress(fraction / 2))
    # Sources with the same name are distinguished by their content.
    identity = checksum(json.dumps([asdict(shard) for shard in manifest.shards]).encode())
    told = {**manifest.source, 'split_from': identity, 'max_shard_size': str(max_shard_size or '')}
    with CheckpointWriter(out, len(shards), told, layout, shard_size=0) as writer:
        for index, names in enumerate(shards):
            def content(names: Sequence[str] = names) -> Content:
                return {name: checkpoint.array(name) if manifest.tensors[name].format == 'f32'
                        # Here its order is a separate tensor.
                        else replace(checkpoint.stored_linear(name), order=None) for name in names}

            writer.add(content)
            progress(0.5 + (index + 1) / len(shards) / 2)
        writer.finish(family=manifest.family, model=manifest.model, vision=manifest.vision,
                      files={name: (source / name).read_bytes() for name in manifest.files})
    checkpoint.close()


def _shards(manifest: Manifest, limit: int | None, layout: str | None) -> list[list[str]]:
    """Return the names of each shard's tensors, in the order of the source."""
    names = sorted(manifest.tensors, key=lambda name: manifest.tensors[name].shard)  # a stable sort
    if limit is None:
        return [[name for name in names if manifest.tensors[name].shard == index]
                for index in range(len(manifest.shards))]
    shards: list[list[str]] = []
    left = 0
    for name in names:
        size = _stored_bytes(manifest.tensors[name], layout)
        if size + PAGE > limit:
            raise InvalidParameterError(f'{name} alone takes {(size + PAGE) / 2**20:,.1f} MiB; use a larger '
                                        '--max-shard-size')
        if size > left:
            shards.append([])
            left = limit - PAGE
        shards[-1].append(name)
        left -= size
    return shards


def _stored_bytes(entry: TensorEntry, layout: str | None) -> int:
    """Return an upper bound of a tensor's bytes in a shard: its arrays, aligned to 64 bytes, and their header."""
    parts = 1
    if entry.format != 'f32':
        entry = replace(entry, layout=layout or FORMATS[entry.format].layout)
        parts = len(stored(entry.format, entry.rows, entry.cols, entry.group_size, entry.layout))
    return entry.nbytes + parts * (ALIGNMENT + 2 * _HEADER)
