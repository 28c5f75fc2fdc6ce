# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Converts the tensors of any source into the parts of a checkpoint, as the family declares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
import logging

import numpy as np

from tinychat_core.checkpoint.linear import Linear, stack
from tinychat_core.checkpoint.tensor_names import is_norm, shape_of
from tinychat_core.checkpoint.writer import Content
from tinychat_core.errors import UnsupportedModelError
from tinychat_core.importers.source import SourceModel

_log = logging.getLogger(__name__)

_READ_BY_ROW = ('embedding', 'positions')

# Converts a matrix, given its name: quantizes it, rounds it or returns it unchanged.
Convert = Callable[[str, Linear], Linear]


class ImportPlan:
    """The parts of a checkpoint, to be written in order: the embedding, each decoder layer, norm and head."""

    def __init__(self, model: SourceModel, convert: Convert) -> None:
        """Match all tensors; UnsupportedModelError where one is missing, unused or of the wrong shape."""
        self._source, self._family, self._config, self._convert = model.source, model.family, model.config, convert
        self._has_no_vision = model.vision is None
        lists = {ours: (theirs,) if isinstance(theirs, str) else theirs for ours, theirs in model.names.items()}
        layers = [{ours.format(i=i): tuple(name.format(i=i) for name in theirs)
                   for ours, theirs in lists.items() if '{i}' in ours} for i in range(self._config.layers)]
        ends = {ours: theirs for ours, theirs in lists.items() if '{i}' not in ours}
        self._head = ends.get('head', ('',))[0]
        tied = ends.pop('head', ()) if self._config.tied_head else ()
        first: dict[str, tuple[str, ...]] = {
            ours: ends.pop(ours) for ours in ('embedding', 'project_in', 'positions') if ours in ends}
        self._parts: list[dict[str, tuple[str, ...]]] = [first, *layers, ends]
        self._check(tied)

    @property
    def parts(self) -> list[Callable[[], Content]]:
        """Functions that return the content of each part."""
        def content(tensors: Mapping[str, tuple[str, ...]]) -> Callable[[], Content]:
            return lambda: {name: tensor for ours, theirs in tensors.items()
                            for name, tensor in self._tensors(ours, theirs).items()}

        return [content(tensors) for tensors in self._parts]

    def _check(self, tied: tuple[str, ...]) -> None:
        left = set(self._source.names) - {f'{name}.weight' for name in tied}
        for tensors in self._parts:
            for ours, theirs in tensors.items():
                shapes = [self._shape_of(f'{name}.weight') for name in theirs]
                found = (sum(shape[0] for shape in shapes), *shapes[0][1:])
                wanted = shape_of(ours, self._config)
                if found != wanted or len({shape[1:] for shape in shapes}) > 1:
                    raise UnsupportedModelError(f'{self._source.label}: {" + ".join(theirs)} has the shape '
                                                f'{list(found)} instead of {list(wanted)}')
                for name, shape in zip(theirs, shapes, strict=True):
                    if f'{name}.bias' in left and self._source.shape(f'{name}.bias') != shape[:1]:
                        raise UnsupportedModelError(f'{self._source.label}: {name}.bias has the shape '
                                                    f'{list(self._source.shape(f"{name}.bias"))} instead of '
                                                    f'{list(shape[:1])}')
                left -= {f'{name}.{part}' for name in theirs for part in ('weight', 'bias')}
        if self._has_no_vision and any(name.startswith(self._family.left_out) for name in left):
            _log.warning('%s: the vision part is left out; only text is supported', self._source.label)
        for name in sorted(left):
            if not name.endswith(self._family.ignored) and not name.startswith(self._family.left_out):
                raise UnsupportedModelError(f'{self._source.label} has the tensor {name}, which the family '
                                            f"'{self._family.name}' does not use")

    def _shape_of(self, name: str) -> tuple[int, ...]:
        if name not in self._source.names:
            hint = '; if its head is the embedding, set "tie_word_embeddings": true in its config.json' * (
                name == f'{self._head}.weight')
            raise UnsupportedModelError(f'{self._source.label} has no tensor {name}{hint}')
        shape = self._source.shape(name)
        if not shape:
            raise UnsupportedModelError(f'{self._source.label}: {name} is a single number')
        return shape

    def _tensors(self, ours: str, theirs: tuple[str, ...]) -> Content:
        """Return a matrix or norm, with its bias if it has one."""
        source = self._source
        biases = [name + '.bias' for name in theirs if f'{name}.bias' in source.names]
        if biases and len(biases) != len(theirs):
            raise UnsupportedModelError(f'{source.label}: only some of {", ".join(theirs)} have a bias')
        bias = {f'{ours}.bias': np.concatenate([source.vector(name) for name in biases])} if biases else {}
        if is_norm(ours):
            weight = source.vector(f'{theirs[0]}.weight') + np.float32(self._family.norm_offset)
            return {f'{ours}.weight': weight, **bias}
        try:
            matrices = [source.matrix(f'{name}.weight') for name in theirs]
            order = self._family.row_order.get(ours.rpartition('.')[2])
            if order is not None:
                rows = order(self._config)
                matrices = [stack(matrices).take(rows)]
                bias = {name: values[rows] for name, values in bias.items()}
            parts = _joined([self._convert(ours, matrix) for matrix in _joined(_plain_together(matrices))])
        except ValueError as error:
            raise UnsupportedModelError(f'{source.label}: {", ".join(theirs)} differ: {error}') from None
        if any(part.order is not None for part in parts) and ours in _READ_BY_ROW:
            raise UnsupportedModelError(f'{source.label}: {theirs[0]} is ordered by activation (desc_act), which is '
                                        'not supported for an embedding')
        if len(parts) == 1:
            return {ours: parts[0], **bias}
        return {**{f'{ours}.{i}': part for i, part in enumerate(parts)}, **bias}


def _plain_together(matrices: list[Linear]) -> list[Linear]:
    """Return matrices of several types without scales as float32, so that all are converted to the same 16 bits."""
    if len({matrix.format for matrix in matrices}) == 1 or any(matrix.scales is not None for matrix in matrices):
        return matrices
    return [Linear('f32', matrix.rows, matrix.cols, 0, None, matrix.dequantized()) for matrix in matrices]


def _joined(matrices: list[Linear]) -> list[Linear]:
    """Stack adjacent matrices of the same format; those of other formats stay separate tensors."""
    parts = matrices[:1]
    for matrix in matrices[1:]:
        try:
            parts[-1] = stack([parts[-1], matrix])
        except ValueError:
            if matrix.cols != parts[-1].cols:
                raise
            parts.append(matrix)
    return parts
