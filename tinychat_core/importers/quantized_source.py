# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""A Hugging Face model with quantized matrices: packed integers, scales and zero points, each a tensor."""

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
    """A file of named tensors; types have safetensors' names."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shape of every tensor."""

    def dtype(self, name: str) -> str:
        """Return the type of a tensor."""

    def array(self, name: str) -> Array:
        """Return a tensor, BF16 as uint16."""


class QuantizedTensors:
    """
    The tensors of one quantized matrix, by the suffix of their names; errors name the file and the tensor.

    `said` holds the warnings already logged; all matrices of a model share it.
    """

    def __init__(self, files: Mapping[str, TensorFile], label: str, name: str, said: set[str]) -> None:
        """Find the tensors of the matrix `name` in `files`, which are keyed by full tensor name."""
        self._files, self._label, self.name, self._said = files, label, name, said

    def __contains__(self, suffix: str) -> bool:
        """Return whether the matrix has this tensor."""
        return f'{self.name}.{suffix}' in self._files

    def dtype(self, suffix: str) -> str:
        """Return the type of a tensor; TinyChatError where it is missing."""
        return self._file(suffix).dtype(f'{self.name}.{suffix}')

    def dims(self, suffix: str) -> tuple[int, ...]:
        """Return the shape of a tensor; TinyChatError where it is missing."""
        return self._file(suffix).shapes[f'{self.name}.{suffix}']

    def shape(self, suffix: str) -> tuple[int, ...]:
        """Return the shape of a two-dimensional tensor; TinyChatError where it is missing or is not one."""
        shape = self.dims(suffix)
        if len(shape) != 2:
            raise self.error(f'{suffix} has the shape {list(shape)}')
        return shape

    def integers(self, suffix: str, kind: str, shape: tuple[int, ...] | None = None) -> Array:
        """Return a tensor; TinyChatError where its type or shape differs from the expected one."""
        array = self._array(suffix, shape)
        if self.dtype(suffix) != kind:
            raise self.error(f'{suffix} has the type {self.dtype(suffix)} instead of {kind}')
        return array

    def numbers(self, suffix: str, shape: tuple[int, ...]) -> Values:
        """Return an F16, BF16 or F32 tensor as float32; TinyChatError where a number is not finite."""
        array, kind = self._array(suffix, shape), self.dtype(suffix)
        if kind not in ('F16', 'BF16', 'F32'):
            raise self.error(f'{suffix} has the type {kind}')
        wide = (array.astype(np.uint32) << 16).view(np.float32) if kind == 'BF16' else array.astype(np.float32)
        if not np.isfinite(wide).all():
            raise self.error(f'{suffix} has numbers that are not finite; the file is damaged')
        return wide

    def error(self, reason: str) -> TinyChatError:
        """Return an error that names the matrix."""
        return TinyChatError(f'{self._label}: {self.name}.{reason}')

    def unsupported(self, reason: str) -> UnsupportedModelError:
        """Return an error for an intact but unsupported matrix."""
        return UnsupportedModelError(f'{self._label}: {self.name} {reason}')

    def say(self, what: str) -> None:
        """Log a warning, once for all matrices of the model."""
        if what not in self._said:
            self._said.add(what)
            _log.warning('%s: %s', self._label, what)

    def _array(self, suffix: str, shape: tuple[int, ...] | None) -> Array:
        array = self._file(suffix).array(f'{self.name}.{suffix}')
        if shape is not None and array.shape != shape:
            raise self.error(f'{suffix} has the shape {list(array.shape)} instead of {list(shape)}')
        return array

    def _file(self, suffix: str) -> TensorFile:
        try:
            return self._files[f'{self.name}.{suffix}']
        except KeyError:
            raise self.error(f'{suffix} is missing; the checkpoint is incomplete') from None


class QuantFormat(Protocol):
    """How a quantization format stores a matrix."""

    @property
    def marker(self) -> str:
        """Suffix of the tensor that only quantized matrices have."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Suffixes of all tensors of a quantized matrix."""

    def shape(self, tensors: QuantizedTensors) -> tuple[int, int]:
        """Return rows and columns of the matrix."""

    def matrix(self, tensors: QuantizedTensors) -> Linear:
        """Return the matrix, unpacked."""


class PlainSource(Protocol):
    """The tensors as the files store them."""

    @property
    def label(self) -> str:
        """Name of the source in messages."""

    files: dict[str, TensorFile]  # by tensor

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor."""

    def matrix(self, name: str) -> Linear:
        """Return a matrix that is not quantized."""

    def vector(self, name: str) -> Values:
        """Return a vector."""

    def forget(self) -> None:
        """Release the memory of the tensors that were read."""


class QuantizedSource:
    """The tensors with each quantized matrix as one `.weight`; the others are unchanged."""

    def __init__(self, plain: PlainSource, quant_format: QuantFormat) -> None:
        """Find the quantized matrices."""
        self._plain, self._format, said = plain, quant_format, set[str]()
        ending = f'.{quant_format.marker}'
        self._quantized = {f'{base}.weight': QuantizedTensors(plain.files, plain.label, base, said)
                           for base in (name.removesuffix(ending) for name in plain.files if name.endswith(ending))}
        stored = {f'{matrix.name}.{suffix}' for matrix in self._quantized.values() for suffix in quant_format.suffixes}
        self._names = [*self._quantized, *(name for name in plain.files if name not in stored)]

    def is_quantized(self, name: str) -> bool:
        """Return whether a tensor is a quantized matrix."""
        return name in self._quantized

    @property
    def label(self) -> str:
        """Name of the source in messages."""
        return self._plain.label

    @property
    def names(self) -> Collection[str]:
        """All tensors."""
        return self._names

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor."""
        tensors = self._quantized.get(name)
        return self._plain.shape(name) if tensors is None else self._format.shape(tensors)

    def matrix(self, name: str) -> Linear:
        """Return a matrix with its stored integers, unpacked."""
        tensors = self._quantized.get(name)
        return self._plain.matrix(name) if tensors is None else self._format.matrix(tensors)

    def vector(self, name: str) -> Values:
        """Return a vector of numbers."""
        return self._plain.vector(name)

    def forget(self) -> None:
        """Release the memory of the tensors that were read."""
        self._plain.forget()
