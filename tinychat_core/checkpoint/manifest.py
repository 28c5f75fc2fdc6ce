# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""tinychat.json: what a checkpoint holds and where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
import json
import os
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta
import numpy as np

from tinychat_core.checkpoint.checksums import checksum
from tinychat_core.checkpoint.formats import FORMATS, stored
from tinychat_core.checkpoint.model_config import ModelConfig
from tinychat_core.checkpoint.tensor_names import check_tensor_names
from tinychat_core.checkpoint.vision_config import VisionConfig
from tinychat_core.errors import CheckpointError, TinyChatError
from tinychat_core.regular_file import read_file

NAME = 'tinychat.json'
FORMAT_VERSION = 1

Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]


@dataclass(frozen=True)
class TensorEntry:
    """A matrix, or (format f32) a vector of `cols` numbers; `shard` is an index into `Manifest.shards`."""

    shard: Count
    format: str
    rows: Count
    cols: Count
    group_size: Count = 0
    layout: str = 'rows'

    @property
    def nbytes(self) -> int:
        """Bytes of its numbers, scales and zero points; ValueError where no such tensor can exist."""
        if self.format == 'f32':
            return 4 * self.cols
        parts = stored(self.format, self.rows, self.cols, self.group_size, self.layout)
        return sum(np.dtype(kind).itemsize * count for kind, count in parts.values())


@dataclass(frozen=True)
class Shard:
    """A safetensors file; `xxh3`: XXH3-64 of each MiB of it, as 16 hexadecimal digits."""

    file: str
    bytes: Count
    xxh3: list[str]


@dataclass(frozen=True)
class Manifest:
    """
    The content of tinychat.json.

    `weights` is W4, W5, W6, W8 or W16; `files` are the checksums of the small files (configuration, tokenizer) by name.
    The file has one more field, the checksum of all others.
    """

    family: str
    model: ModelConfig
    weights: Annotated[str, Meta(pattern='^W(4|5|6|8|16)$')]
    group_size: Count
    tensors: dict[str, TensorEntry]
    shards: list[Shard]
    files: dict[str, str] = field(default_factory=dict)
    source: dict[str, str] = field(default_factory=dict)
    generator: str = ''
    format_version: int = FORMAT_VERSION
    vision: VisionConfig | None = None  # how the model sees images

    @property
    def weights_bytes(self) -> int:
        """Bytes of all tensors."""
        return sum(entry.nbytes for entry in self.tensors.values())

    @property
    def is_packed(self) -> bool:
        """Whether every matrix is stored in the layout that the kernels read."""
        return all(entry.format == 'f32' or entry.layout == FORMATS[entry.format].layout
                   for entry in self.tensors.values())

    def text(self) -> str:
        """Return the content of tinychat.json; the version comes first, the checksum last."""
        content = {**asdict(self), 'model': self.model.to_json()}
        del content['vision']
        if self.vision is not None:
            content['vision'] = self.vision.to_json()
        content = {**{name: content.pop(name) for name in ('format_version', 'generator')}, **content}
        return json.dumps({**content, 'checksum': _checksum(content)}, indent=1) + '\n'

    @classmethod
    def read(cls, directory: Path) -> Manifest:
        """Read the tinychat.json of a directory; CheckpointError where it is missing, too new or damaged."""
        path = directory / NAME
        try:
            if not directory.is_dir():
                raise CheckpointError(f'{directory} is not a directory; give the path of a split checkpoint')
            if not os.path.lexists(path):
                raise CheckpointError(f'{directory} is not a split checkpoint ({NAME} is missing); make one with '
                                      f'`tinychat import SOURCE OUT`')
            text = read_file(path)
        except OSError as error:
            raise CheckpointError(f'cannot read {path}: {error.strerror}') from None
        except CheckpointError:
            raise
        except TinyChatError as error:
            raise CheckpointError(str(error)) from None
        try:
            content = json.loads(text)
            version = content['format_version']
            if not isinstance(version, int) or version < 1:
                raise ValueError(f'its format version is {version!r}')
            if version > FORMAT_VERSION:
                raise CheckpointError(
                    f'{directory} has format version {version}, newer than the {FORMAT_VERSION} that this '
                    'release reads; update tinychat or import the model again')
            if content.pop('checksum') != _checksum(content):
                raise ValueError('its checksum differs')
            return cls._checked(content)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            reason = f'{error} is missing' if isinstance(error, KeyError) else error
            raise CheckpointError(f'{path} is damaged ({reason}); import the model again') from None

    @classmethod
    def _checked(cls, content: dict[str, Any]) -> Manifest:
        fields_ = {**content, 'model': ModelConfig.from_json(content['model'])}
        if 'vision' in content:
            fields_['vision'] = VisionConfig.from_json(content['vision'])
        manifest = typed(cls, fields_)
        for entry in content['tensors'].values():
            _check_names(TensorEntry, entry)
        for shard in content['shards']:
            _check_names(Shard, shard)
        for name, entry in manifest.tensors.items():
            if not 0 <= entry.shard < len(manifest.shards):
                raise ValueError(f'{name} is in a shard that is not listed')
            if not entry.nbytes:
                raise ValueError(f'{name} is empty')
            if entry.nbytes > manifest.shards[entry.shard].bytes:
                raise ValueError(f'{name} is larger than its shard')
        for name in [*manifest.files, *(shard.file for shard in manifest.shards)]:
            if not is_bare(name):
                raise ValueError(f"'{name}' is not the name of a file in it")
        check_tensor_names(manifest.tensors)
        positions = manifest.tensors.get('positions')
        needed = manifest.model.learned_positions
        if positions is not None and positions.rows < needed:
            raise ValueError(f'it has {positions.rows} learned positions instead of {needed}')
        return manifest


def is_bare(name: str) -> bool:
    """Return whether a name is a file name without any directory."""
    return Path(name).name == name and name not in ('', '.', '..') and '\0' not in name


def typed(kind: type[Any], content: Any) -> Any:
    """Return `content` as a dataclass; ValueError names a field that is missing, unknown or of the wrong type."""
    _check_names(kind, content)
    return msgspec.convert(content, kind)  # its ValidationError is a ValueError


def _check_names(kind: type[Any], content: Any) -> None:
    unknown = set(content) - {field.name for field in fields(kind)} if isinstance(content, Mapping) else ()
    if unknown:
        raise ValueError(f'{kind.__name__} has no field {min(unknown)!r}')


def _checksum(content: dict[str, Any]) -> str:
    """Return the checksum of all fields, independent of their formatting in the file."""
    return checksum(json.dumps(content, sort_keys=True, separators=(',', ':')).encode())
