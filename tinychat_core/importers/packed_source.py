# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A Hugging Face model of which some matrices are stored in parts: packed integers, scales, zero points."""

from __future__ import annotations

from collections.abc import Collection, Mapping
import logging
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tinychat_core.checkpoint.linear import Linear
from tinychat_core.errors import TinyChatError, UnsupportedModelError

_log = logging.getLogger(__name__)

Array = npt.NDArray[Any]
Values = npt.NDArray[np.float32]


class TensorFile(Protocol):
    """A file of named tensors; types are named as safetensors does."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Of all tensors."""

    def dtype(self, name: str) -> str:
        """Return the type of a tensor."""

    def array(self, name: str) -> Array:
        """Return a tensor, BF16 as uint16."""


class Parts:
    """
    What is stored of one matrix; an error names the file and the tensor.

    `said` is what was already said of the model, which all of its matrices share.
    """

    def __init__(self, files: Mapping[str, TensorFile], label: str, name: str, said: set[str]) -> None:
        """Look into `files`, by full name, for the parts of the matrix `name`."""
        self._files, self._label, self.name, self._said = files, label, name, said

    def __contains__(self, part: str) -> bool:
        """Return whether there is such a part."""
        return f'{self.name}.{part}' in self._files

    def dtype(self, part: str) -> str:
        """Return the type of a part; TinyChatError where it is missing."""
        return self._file(part).dtype(f'{self.name}.{part}')

    def dims(self, part: str) -> tuple[int, ...]:
        """Return the shape of a part; TinyChatError where it is missing."""
        return self._file(part).shapes[f'{self.name}.{part}']

    def shape(self, part: str) -> tuple[int, ...]:
        """Return the shape of a part, which has two dimensions; TinyChatError where it is missing or has not."""
        shape = self.dims(part)
        if len(shape) != 2:
            raise self.error(f'{part} has the shape {list(shape)}')
        return shape

    def integers(self, part: str, kind: str, shape: tuple[int, ...] | None = None) -> Array:
        """Return a part; TinyChatError where it has another type or shape than expected."""
        array = self._array(part, shape)
        if self.dtype(part) != kind:
            raise self.error(f'{part} has the type {self.dtype(part)} instead of {kind}')
        return array

    def numbers(self, part: str, shape: tuple[int, ...]) -> Values:
        """Return a part of F16, BF16 or F32 as float32; TinyChatError where a number is not finite."""
        array, kind = self._array(part, shape), self.dtype(part)
        if kind not in ('F16', 'BF16', 'F32'):
            raise self.error(f'{part} has the type {kind}')
        wide = (array.astype(np.uint32) << 16).view(np.float32) if kind == 'BF16' else array.astype(np.float32)
        if not np.isfinite(wide).all():
            raise self.error(f'{part} has numbers that are not finite; the file is damaged')
        return wide

    def error(self, reason: str) -> TinyChatError:
        """Return an error that names the matrix."""
        return TinyChatError(f'{self._label}: {self.name}.{reason}')

    def unsupported(self, reason: str) -> UnsupportedModelError:
        """Return an error for what is whole, but has no place here."""
        return UnsupportedModelError(f'{self._label}: {self.name} {reason}')

    def say(self, what: str) -> None:
        """Warn, once for all matrices of the model."""
        if what not in self._said:
            self._said.add(what)
            _log.warning('%s: %s', self._label, what)

    def _array(self, part: str, shape: tuple[int, ...] | None) -> Array:
        array = self._file(part).array(f'{self.name}.{part}')
        if shape is not None and array.shape != shape:
            raise self.error(f'{part} has the shape {list(array.shape)} instead of {list(shape)}')
        return array

    def _file(self, part: str) -> TensorFile:
        try:
            return self._files[f'{self.name}.{part}']
        except KeyError:
            raise self.error(f'{part} is missing; the checkpoint is incomplete') from None


class Packing(Protocol):
    """How a format stores a matrix. `marker` is the part that tells a packed matrix from a plain one."""

    @property
    def marker(self) -> str:
        """The ending of a name."""

    @property
    def parts(self) -> tuple[str, ...]:
        """Endings of all names that belong to a packed matrix."""

    def shape(self, parts: Parts) -> tuple[int, int]:
        """Return rows and columns of the matrix."""

    def matrix(self, parts: Parts) -> Linear:
        """Return the matrix, unpacked."""


class PlainSource(Protocol):
    """The tensors of the files, as they are."""

    @property
    def label(self) -> str:
        """What to call it in a message."""

    files: dict[str, TensorFile]  # by tensor

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor."""

    def matrix(self, name: str) -> Linear:
        """Return a matrix that is not packed."""

    def vector(self, name: str) -> Values:
        """Return a vector."""

    def forget(self) -> None:
        """Let go of the memory of what was read."""


class PackedSource:
    """The tensors with each packed matrix as one `.weight`; what is not packed is as it was."""

    def __init__(self, plain: PlainSource, packing: Packing) -> None:
        """Find the packed matrices."""
        self._plain, self._packing, said = plain, packing, set[str]()
        ending = f'.{packing.marker}'
        self._packed = {f'{base}.weight': Parts(plain.files, plain.label, base, said)
                        for base in (name.removesuffix(ending) for name in plain.files if name.endswith(ending))}
        parts = {f'{packed.name}.{part}' for packed in self._packed.values() for part in packing.parts}
        self._names = [*self._packed, *(name for name in plain.files if name not in parts)]

    def is_packed(self, name: str) -> bool:
        """Return whether a tensor is a packed matrix."""
        return name in self._packed

    @property
    def label(self) -> str:
        """What to call it in a message."""
        return self._plain.label

    @property
    def names(self) -> Collection[str]:
        """All tensors."""
        return self._names

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor."""
        packed = self._packed.get(name)
        return self._plain.shape(name) if packed is None else self._packing.shape(packed)

    def matrix(self, name: str) -> Linear:
        """Return a matrix with its integers as they are stored; one that is not packed as it is."""
        packed = self._packed.get(name)
        return self._plain.matrix(name) if packed is None else self._packing.matrix(packed)

    def vector(self, name: str) -> Values:
        """Return a vector of numbers."""
        return self._plain.vector(name)

    def forget(self) -> None:
        """Let go of the memory of what was read."""
        self._plain.forget()
