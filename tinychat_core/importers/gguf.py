# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A GGUF model as a source: integers and scales are converted to our layout, nothing is quantized again."""

from __future__ import annotations

from collections.abc import Collection
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tinychat_core.checkpoint.checksums import checksum
from tinychat_core.checkpoint.linear import Linear
from tinychat_core.checkpoint.model_config import ModelConfig
from tinychat_core.importers.gguf_config import generation_config, read_config, ROPE_TENSORS
from tinychat_core.importers.gguf_parts import GgufModel
from tinychat_core.importers.gguf_special import with_known_ids
from tinychat_core.importers.gguf_template import with_one_template
from tinychat_core.importers.gguf_tokenizer import tokenizer_files
from tinychat_core.importers.gguf_types import typed
from tinychat_core.importers.gguf_vision import with_mmproj
from tinychat_core.importers.source import SourceModel


def open_model(path: Path, chat_template: str | None = None, mmproj: Path | None = None) -> SourceModel:
    """
    Return the model of a GGUF file, or of all its parts, given one of them; TinyChatError if it is not supported.

    `chat_template` replaces the file's own, also for deciding which tokens are control tokens. `mmproj`: the file with
    its vision part.
    """
    file = GgufModel(path)
    file.metadata = with_known_ids(typed(file.metadata, str(path)), str(path))
    family, hf_config, config = read_config(file)
    assert family.gguf is not None
    metadata = with_one_template(file.metadata, chat_template, str(path))
    texts = {**tokenizer_files(metadata), 'config.json': json.dumps(hf_config, indent=1),
             'generation_config.json': json.dumps(generation_config(file.metadata), indent=1)}
    sizes = [f'{part.name} {part.stat().st_size} {part.stat().st_mtime_ns}' for part in file.paths]
    model = SourceModel(
        source=GgufSource(file, config, family.gguf.interleaved), family=family.in_gguf(),
        names=family.gguf.tensors, config=config, files={name: text.encode() for name, text in texts.items()},
        identity={'model': file.name, 'files': checksum('\n'.join(sizes).encode())}, name=file.name)
    return model if mmproj is None else with_mmproj(model, mmproj)


class GgufSource:
    """The tensors, with the rows of q and k in Hugging Face's order."""

    def __init__(self, file: GgufModel, config: ModelConfig, interleaved: bool) -> None:
        """Wrap a file; `interleaved`: its rows of q and k are ordered as in LLaMA's GGUF files."""
        self._file = file
        self._heads = {'.attn_q.': config.heads, '.attn_k.': config.kv_heads} if interleaved else {}

    @property
    def label(self) -> str:
        """The file's path."""
        return str(self._file.path)

    @property
    def names(self) -> Collection[str]:
        """All tensors except those that ModelConfig stores."""
        return [name for name in self._file.names if name not in ROPE_TENSORS]

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor."""
        return self._file.shape(name)

    def matrix(self, name: str) -> Linear:
        """Return a matrix with the values that the file stores."""
        matrix, order = self._file.matrix(name), self._order(name)
        return matrix if order is None else matrix.take(order)

    def vector(self, name: str) -> npt.NDArray[np.float32]:
        """Return a vector."""
        vector, order = self._file.vector(name), self._order(name)
        return vector if order is None else vector[order]

    def forget(self) -> None:
        """Release the pages that were read."""
        self._file.forget()

    def _order(self, name: str) -> npt.NDArray[np.intp] | None:
        """
        Return the rows of q or k in Hugging Face's order, or None for another tensor.

        GGUF stores LLaMA's for interleaved rotary positions: row 2i + j of a head is Hugging Face's row
        j * dim / 2 + i.
        """
        for part, heads in self._heads.items():
            if part in name:
                rows = self._file.shape(name)[0]
                return np.arange(rows).reshape(heads, rows // heads // 2, 2).transpose(0, 2, 1).reshape(-1)
        return None
