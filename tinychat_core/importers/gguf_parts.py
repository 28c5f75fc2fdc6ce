# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
A GGUF model in one file, or in the parts that llama.cpp's gguf-split makes.

Parts are named PREFIX-00001-of-0000N.gguf. Each has `split.no` (from 0), `split.count` and `split.tensors.count` (of
all parts); only the first has the other metadata.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
import re
from typing import Any

import numpy as np
import numpy.typing as npt

from tinychat_core.checkpoint.linear import Linear
from tinychat_core.errors import TinyChatError
from tinychat_core.importers.gguf_file import GgufFile

_PART = re.compile(r'(?P<prefix>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf')
_NUMBER, _COUNT, _TENSORS = 'split.no', 'split.count', 'split.tensors.count'
# Pieces of a file that was split at arbitrary positions and must be joined first: model.gguf.part1of2,
# model.gguf-split-a, …
_PIECE = re.compile(r'.*\.gguf(\.part-?\w+|-split-\w+|\.\d{1,3}|\.a[a-z])')


class GgufModel:
    """All parts as one model: `metadata` by key, tensors by name; `path` is the given file, `paths` are all files."""

    def __init__(self, path: Path) -> None:
        """
        Open the file and, if it is a part, all other parts.

        Raises TinyChatError for a damaged file, a missing part or parts of different models.
        """
        self.path = path
        if _PIECE.fullmatch(path.name):
            raise TinyChatError(f'{path} is a piece of a file; join the pieces in order (`cat`) into one that ends in '
                                '.gguf, and give that file')
        said: set[str] = set()
        file = GgufFile(path, said)
        count = _whole(file, _COUNT, 1)
        paths = [path] if count == 1 else _part_paths(file, count)
        files = [file if part == path else GgufFile(part, said) for part in paths]
        self.paths = tuple(paths)
        self.metadata: Mapping[str, Any] = files[0].metadata
        self._files: dict[str, GgufFile] = {}
        for number, part in enumerate(files):
            self._add(part, number, count)
        wanted = _whole(files[0], _TENSORS, len(self._files))
        if wanted != len(self._files):
            raise TinyChatError(f'{path}: {_TENSORS} = {wanted}, and its parts have {len(self._files)}; get all parts '
                                'again')

    @property
    def name(self) -> str:
        """Name of the model: the file's name without the number of the part."""
        part = _PART.fullmatch(self.path.name)
        return part['prefix'] if part else self.path.stem

    @property
    def names(self) -> Collection[str]:
        """All tensors, in the files' order."""
        return self._files.keys()

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape: [rows, cols] or [n]."""
        return self._files[name].shape(name)

    def vector(self, name: str) -> npt.NDArray[np.float32]:
        """Return a one-dimensional tensor as float32; see GgufFile."""
        return self._files[name].vector(name)

    def matrix(self, name: str) -> Linear:
        """Return a matrix; see GgufFile."""
        return self._files[name].matrix(name)

    def forget(self) -> None:
        """Release the pages that were read."""
        for file in set(self._files.values()):
            file.forget()

    def _add(self, part: GgufFile, number: int, count: int) -> None:
        found = _whole(part, _NUMBER, 0), _whole(part, _COUNT, 1)
        if found != (number, count):
            raise TinyChatError(f'{part.path} is part {found[0] + 1} of {found[1]} by its metadata, but {number + 1} '
                                f'of {count} by its name; get it again')
        for key, value in part.metadata.items():
            if key != _NUMBER and value != self.metadata.get(key, value):
                raise TinyChatError(f'{part.path} belongs to another model than {self.paths[0].name}: its {key} '
                                    'differs')
        for name in part.names:
            if name in self._files:
                raise TinyChatError(f'{part.path} has the tensor {name}, and {self._files[name].path.name} has it, too')
            self._files[name] = part


def _part_paths(file: GgufFile, count: int) -> list[Path]:
    """Return the paths of all parts, given one of them; TinyChatError where a part is missing."""
    # A link may have any name; then the parts are next to its target.
    for path in (file.path, file.path.resolve()):
        named = _PART.fullmatch(path.name)
        if named is not None:
            break
    else:
        number = _whole(file, _NUMBER, 0) + 1
        raise TinyChatError(f'{file.path} is part {number} of {count}, but its name does not say where the others '
                            f'are; name them NAME-00001-of-{count:05}.gguf to NAME-{count:05}-of-{count:05}.gguf')
    if int(named['count']) != count:
        raise TinyChatError(f'{path} is one of {count} parts by its metadata, but of {int(named["count"])} by its '
                            'name; get it again')
    paths = [path.with_name(f'{named["prefix"]}-{i:05}-of-{count:05}.gguf') for i in range(1, count + 1)]
    missing = [part for part in paths if not part.exists()]
    if missing:
        more = f', and {len(missing) - 1} more' if len(missing) > 1 else ''
        raise TinyChatError(f'{missing[0]} is missing{more}: the model has {count} parts, and needs all of them')
    return [file.path if part == path else part for part in paths]


def _whole(file: GgufFile, key: str, default: int) -> int:
    value = file.metadata.get(key, default)
    if type(value) is not int or not 0 <= value < 100_000:
        raise TinyChatError(f'{file.path} is damaged: {key} = {value}')
    return value
