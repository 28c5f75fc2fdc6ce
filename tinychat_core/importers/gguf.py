# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Import a GGUF file exactly: its integers and scales become ours, nothing is quantized again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tinychat_core.checkpoint.linear import Linear
from tinychat_core.checkpoint.writer import CheckpointWriter
from tinychat_core.errors import UnsupportedModelError
from tinychat_core.importers.assembly import Assembly
from tinychat_core.importers.gguf_config import generation_config, read_config
from tinychat_core.importers.gguf_file import GgufFile
from tinychat_core.importers.gguf_tokenizer import tokenizer_files


def import_gguf(path: Path, out: Path, layout: str | None, progress: Callable[[float], None]) -> None:
    """Write the split checkpoint `out`; raises TinyChatError, and then `out` does not exist."""
    file = GgufFile(path)
    family, config, model = read_config(file)
    assert family.gguf is not None
    source = _GgufSource(file, model, family.gguf.interleaved)
    shards = Assembly(source, family.in_gguf(), family.gguf.tensors, model, source.exact).shards
    small_files: dict[str, str | bytes] = {
        **tokenizer_files(file.metadata), 'config.json': json.dumps(config, indent=1),
        'generation_config.json': json.dumps(generation_config(file.metadata), indent=1)}
    stat = path.stat()
    identity = {'file': path.name, 'bytes': str(stat.st_size), 'modified': str(stat.st_mtime_ns)}
    with CheckpointWriter(out, len(shards), identity, layout) as writer:
        for done, shard in enumerate(shards, start=1):
            writer.add(shard)
            progress(done / len(shards))
        writer.finish(family=family.name, model=model, files=small_files)


class _GgufSource:
    """A GGUF file's tensors, with the rows of q and k in Hugging Face's order."""

    def __init__(self, file: GgufFile, model: Mapping[str, Any], interleaved: bool) -> None:
        self._file = file
        self._heads = {'.attn_q.': model['heads'], '.attn_k.': model['kv_heads']} if interleaved else {}

    @property
    def label(self) -> str:
        return str(self._file.path)

    @property
    def names(self) -> Collection[str]:
        return self._file.names

    def shape(self, name: str) -> tuple[int, ...]:
        return self._file.shape(name)

    def matrix(self, name: str) -> Linear:
        matrix, order = self._file.matrix(name), self._order(name)
        return matrix if order is None else matrix.take(order)

    def vector(self, name: str) -> npt.NDArray[np.float32]:
        vector, order = self._file.vector(name), self._order(name)
        return vector if order is None else vector[order]

    def exact(self, name: str, matrix: Linear) -> Linear:
        """Return a matrix of float32 in 16 bits, which must lose nothing; all others as they are."""
        if matrix.format != 'f32':
            return matrix
        narrow = matrix.in_16_bits()
        if not np.array_equal(narrow.dequantized(), matrix.weight):
            raise UnsupportedModelError(f'{self.label}: {name} is F32, and neither F16 nor BF16 holds its '
                                        'numbers exactly; convert the file to one of those first')
        return narrow

    def _order(self, name: str) -> npt.NDArray[np.intp] | None:
        """
        Return the rows of q or k in Hugging Face's order, or None for another tensor.

        GGUF stores LLaMA's for interleaved rotary positions: row 2i + j of a head is Hugging Face's row j *
        dim / 2 + i.
        """
        for part, heads in self._heads.items():
            if part in name:
                rows = self._file.shape(name)[0]
                return np.arange(rows).reshape(heads, rows // heads // 2, 2).transpose(0, 2, 1).reshape(-1)
        return None
