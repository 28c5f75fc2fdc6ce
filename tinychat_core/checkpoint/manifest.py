# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""tinychat.json: what a checkpoint holds and where."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
import json
from pathlib import Path
from typing import Any

from tinychat_core.errors import CheckpointError

NAME = 'tinychat.json'
FORMAT_VERSION = 1
CHECKSUM_BYTES = 1 << 20  # of a shard, to one checksum


@dataclass(frozen=True)
class TensorEntry:
    """A matrix, or with the format f32 a vector of `cols` numbers; `shard` counts from 0."""

    shard: int
    format: str
    rows: int
    cols: int
    group_size: int = 0
    layout: str = 'rows'


@dataclass(frozen=True)
class Shard:
    """A safetensors file; `xxh3`: XXH3-64 of each MiB of it, as 16 hexadecimal digits."""

    file: str
    bytes: int
    xxh3: list[str]


@dataclass(frozen=True)
class Manifest:
    """
    The whole of tinychat.json.

    `model` is the family's description, all that the decoder needs; `weights` is W4, W8 or W16; `files` are the checksums
    of the small files (configuration, tokenizer), by name.
    """

    family: str
    model: dict[str, Any]
    weights: str
    group_size: int
    tensors: dict[str, TensorEntry]
    shards: list[Shard]
    files: dict[str, str] = field(default_factory=dict)
    source: dict[str, str] = field(default_factory=dict)
    generator: str = ''
    format_version: int = FORMAT_VERSION

    def write(self, directory: Path) -> None:
        """Write tinychat.json into `directory`."""
        (directory / NAME).write_text(json.dumps(asdict(self), indent=1) + '\n', encoding='utf-8')

    @classmethod
    def read(cls, directory: Path) -> Manifest:
        """Read `directory`/tinychat.json; CheckpointError where it is missing, newer than this release or damaged."""
        path = directory / NAME
        try:
            text = path.read_text(encoding='utf-8')
        except FileNotFoundError:
            raise CheckpointError(f'{directory} is no split checkpoint ({NAME} is missing); make one with '
                                  f'`tinychat import SOURCE {directory}`') from None
        except (OSError, UnicodeDecodeError) as error:
            raise CheckpointError(f'cannot read {path}: {error}') from None
        try:
            content = json.loads(text)
            version = content['format_version']
            if not isinstance(version, int) or version < 1:
                raise ValueError('format_version is not a positive number')
            if version > FORMAT_VERSION:
                raise CheckpointError(f'{directory} has format version {version}, and this release reads up to '
                                      f'{FORMAT_VERSION}; update tinychat or import the model again')
            content['tensors'] = {name: TensorEntry(**entry) for name, entry in content['tensors'].items()}
            content['shards'] = [Shard(**shard) for shard in content['shards']]
            manifest = cls(**content)
            if any(not 0 <= entry.shard < len(manifest.shards) for entry in manifest.tensors.values()):
                raise ValueError('a tensor lies in a shard that is not listed')
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(f'{path} is damaged ({error}); import the model again') from None
        return manifest
