# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Converts the vision part of a source into parts of a checkpoint: its weights stay at 16 bits, or 8."""

from __future__ import annotations

from collections.abc import Callable, Mapping
import re

import numpy as np
import numpy.typing as npt

from tinychat_core.checkpoint.linear import Linear
from tinychat_core.checkpoint.model_config import ModelConfig
from tinychat_core.checkpoint.rtn import eight_bits
from tinychat_core.checkpoint.tensor_names import is_norm, shape_of
from tinychat_core.checkpoint.writer import Content
from tinychat_core.errors import UnsupportedModelError
from tinychat_core.families.vision import padded
from tinychat_core.importers.recipe import check_finite
from tinychat_core.importers.source import SourceModel

_GROUP = 32  # of 8-bit weights
_KEPT = ('positions',)
_GRID = 'grid'  # the learned positions that VisionEncoder interpolates: not quantized, and in no stage
_POOLING = re.compile(r'\.(vision_model|vision_tower)\.head\.|^vision_tower\.head\.')
_LAST_NORM = re.compile(r'\.post_(layernorm|ln)\.')
Values = npt.NDArray[np.float32]


class VisionPlan:
    """
    The parts of a model's vision, to be written in order; none where it sees no images.

    `weights` W4 and W8 round the matrices to 8 bits: an encoder of 4 bits sees poorly, and is small. Sizes that the
    kernels do not take (heads of 72 numbers, patches of 588) are filled with zeros, which change nothing.
    """

    def __init__(self, model: SourceModel, weights: str | None) -> None:
        """Match all tensors; UnsupportedModelError where one is missing, unused or of the wrong shape."""
        self._source, self._weights, self._parts = model.source, weights, list[dict[str, tuple[str, ...]]]()
        self._vision, vision, self._newline = model.vision, model.family.vision, ''
        if self._vision is None or vision is None:
            return
        self._class, self._norm_offset = self._in_file((vision.class_embedding,), '')[0], model.family.norm_offset
        self._family, self._newline = vision, self._in_file((vision.newline,), '')[0]
        self._stages = self._vision.stages
        names = {ours: self._in_file((theirs,) if isinstance(theirs, str) else theirs, self._ending(ours))
                 for ours, theirs in vision.tensors.items()}
        layers = [{ours.format(i=i): tuple(name.format(i=i) for name in theirs)
                   for ours, theirs in names.items() if '{i}' in ours} for i in range(self._vision.encoder.layers)]
        rest = {ours.format(j=j): tuple(name.format(j=j) for name in theirs)
                for ours, theirs in names.items() if '{i}' not in ours
                for j in range(len(self._vision.deepstack) if '{j}' in ours else 1)}
        self._parts = [*layers, rest]
        self._row_scales = {ours.format(i=i): self._in_file((theirs.format(i=i),), '')[0]
                            for ours, theirs in vision.row_scales.items() for i in range(len(layers))}
        self._check(model.family.left_out, model.family.ignored)

    @property
    def parts(self) -> list[Callable[[], Content]]:
        """Functions that return the content of each part."""
        def content(tensors: Mapping[str, tuple[str, ...]]) -> Callable[[], Content]:
            return lambda: {f'vision.{name}': tensor for ours, theirs in tensors.items()
                            for name, tensor in self._tensors(ours, theirs).items()}

        newline = {'vision.newline': self._source.vector(self._newline)} if self._newline else {}
        return [*(content(tensors) for tensors in self._parts), *([lambda: newline] if newline else [])]

    def _in_file(self, theirs: tuple[str, ...], ending: str = '.weight') -> tuple[str, ...]:
        """Return the names that the tensors have in this file."""
        changes = (('', ''), ('model.', ''), ('model.vision_tower.', 'model.vision_tower.vision_model.'),
                   ('model.vision_tower.', 'vision_tower.vision_model.'))
        for old, new in changes:
            names = tuple(name.replace(old, new, 1) if old and name.startswith(old) else name for name in theirs)
            if f'{names[0].format(i=0, j=0)}{ending}' in self._source.names:
                return names
        return theirs

    def _check(self, begins: tuple[str, ...], ignored: tuple[str, ...]) -> None:
        used = {name for name in (self._class, self._newline, *self._row_scales.values()) if name}
        for name in sorted(used):
            if name not in self._source.names:
                raise UnsupportedModelError(f'{self._source.label} has no tensor {name}')
        for tensors in self._parts:
            for ours, theirs in tensors.items():
                for name in theirs:
                    if name + self._ending(ours) not in self._source.names:
                        raise UnsupportedModelError(f'{self._source.label} has no tensor {name}{self._ending(ours)}')
                    used |= {name + self._ending(ours), f'{name}.bias'}
                if ours == _GRID:
                    self._check_grid(theirs[0])
                elif not is_norm(ours):
                    self._check_shape(ours, theirs)
        for name in sorted(self._source.names):
            if name.startswith(begins) and name not in used and not name.endswith(ignored) and not self._is_past(name):
                raise UnsupportedModelError(f'{self._source.label} has the tensor {name}, which is not used')

    def _is_past(self, name: str) -> bool:
        """Return whether a tensor comes after the last layer or norm that is used."""
        assert self._vision is not None
        layer = re.search(r'\.(?:layers?|blk)\.(\d+)\.', name)
        return (layer is not None and int(layer[1]) >= self._vision.encoder.layers) or (
            _LAST_NORM.search(name) is not None and not self._vision.encoder.final_norm) or (
            _POOLING.search(name) is not None)

    def _check_grid(self, name: str) -> None:
        assert self._vision is not None
        expected = ((self._vision.grid or 0) ** 2, self._vision.encoder.hidden_size)
        if self._source.shape(f'{name}.weight') != expected:
            raise UnsupportedModelError(f'{self._source.label}: {name} has the shape '
                                        f'{list(self._source.shape(f"{name}.weight"))} instead of {list(expected)}')

    def _check_shape(self, ours: str, theirs: tuple[str, ...]) -> None:
        stage, kind = self._stage(ours)
        rows, cols = shape_of(kind, stage)
        if '.mlp.' in kind:  # the feed-forward part may be narrower in the file
            inner = self._inner(ours, theirs)
            rows, cols = (rows, inner) if kind.endswith('down') else (rows // stage.intermediate_size * inner, cols)
        if kind.endswith(('attn.qkv', 'attn.o')):  # in the file all heads together are as wide as the residual
            rows, cols = (3 if kind.endswith('qkv') else 1) * stage.hidden_size, stage.hidden_size
        shapes = [self._shape(ours, name) for name in theirs]
        found = sum(shape[0] for shape in shapes), shapes[0][1]
        spare = cols - found[1] if kind == 'project_in' and not ours.startswith('projector') else 0
        if found != (rows, cols - spare) or not 0 <= spare <= 17 or len({shape[1] for shape in shapes}) > 1:
            raise UnsupportedModelError(f'{self._source.label}: {" + ".join(theirs)} has the shape {list(found)} '
                                        f'instead of {[rows, cols]}')

    def _inner(self, ours: str, theirs: tuple[str, ...]) -> int:
        """Return the width of the feed-forward part in the file; it may be up to 15 smaller than in the checkpoint."""
        stage, _ = self._stage(ours)
        found = self._shape(ours, theirs[0])[1 if ours.endswith('down') else 0]
        return found if padded(found) == stage.intermediate_size else stage.intermediate_size

    def _stage(self, ours: str) -> tuple[ModelConfig, str]:
        """Return the stage of a tensor, and its name in it."""
        stage = next(name for name in self._stages if ours.startswith(f'{name}.'))
        return self._stages[stage], ours.removeprefix(f'{stage}.')

    def _ending(self, ours: str) -> str:
        return '' if ours in self._family.bare else '.weight'

    def _shape(self, ours: str, name: str) -> tuple[int, int]:
        """Return the shape of a matrix; that of a convolution has one column for each number of a patch."""
        shape = self._source.shape(name + self._ending(ours))
        if ours.endswith('positions') and shape[0] == 1:
            shape = shape[1:]
        rows, cols = shape[0], int(np.prod(shape[1:]))
        return (cols, rows) if ours in self._family.transposed else (rows, cols)

    def _tensors(self, ours: str, theirs: tuple[str, ...]) -> Content:
        source = self._source
        assert self._vision is not None
        if ours == _GRID:
            return {ours: source.matrix(f'{theirs[0]}.weight').dequantized().reshape(-1)}
        stage, kind = self._stage(ours)
        biases = [source.vector(f'{name}.bias') for name in theirs if f'{name}.bias' in source.names]
        if biases and len(biases) != len(theirs):
            raise UnsupportedModelError(f'{source.label}: only some of {", ".join(theirs)} have a bias')
        if is_norm(ours):
            offset = np.float32(self._norm_offset if stage.norm == 'rms' else 0)
            return {f'{ours}.weight': source.vector(f'{theirs[0]}.weight') + offset,
                    **({f'{ours}.bias': biases[0]} if biases else {})}
        values = [self._values(ours, name) for name in theirs]
        if ours in self._row_scales:
            scales = source.vector(self._row_scales[ours])
            values, biases = [values[0] * scales[:, None]], [bias * scales for bias in biases]
        rows, cols = shape_of(kind, stage)
        if kind.endswith('attn.qkv'):
            if len(values) == 1:
                values, biases = np.split(values[0], 3), np.split(biases[0], 3) if biases else []
            values = [_with_heads(matrix, stage) for matrix in values]
            biases = [_with_heads(bias[:, None], stage)[:, 0] for bias in biases]
        if kind.endswith(('mlp.gate_up', 'mlp.up')):
            values = [_with_rows(matrix, stage.intermediate_size) for matrix in values]
            biases = [_with_rows(bias, stage.intermediate_size) for bias in biases]
        if kind.endswith('attn.o'):
            values = [_with_heads(values[0].T, stage).T]
        whole = np.concatenate(values)
        matrix = np.zeros((rows, cols), np.float32)
        matrix[:, :whole.shape[1]] = whole
        if kind == 'project_in' and self._class and self._vision.has_class and not ours.startswith('projector'):
            matrix[:, whole.shape[1]] = source.vector(self._class).reshape(-1)  # a 1 in a patch selects it
            for bias in biases:
                matrix[:, whole.shape[1] + 1] = bias
            biases = []
        more = {f'{ours}.bias': np.concatenate(biases)} if biases else {}
        scale = np.float32(self._vision.activation_scale)
        if scale != 1 and kind.endswith('mlp.up'):
            more = {f'{ours}.input_scale': np.full(cols, scale), **{name: scale * bias for name, bias in more.items()}}
        if scale != 1 and kind.endswith('mlp.down'):
            more[f'{ours}.input_scale'] = np.full(cols, 1 / scale, np.float32)
        return {ours: self._stored(ours, matrix), **more}

    def _values(self, ours: str, name: str) -> Values:
        """Return a matrix in float32."""
        values = self._source.matrix(name + self._ending(ours)).dequantized()
        return values.T if ours in self._family.transposed else values.reshape(self._shape(ours, name))

    def _stored(self, ours: str, values: Values) -> Linear:
        plain = Linear('f32', values.shape[0], values.shape[1], 0, None, values)
        check_finite(ours, plain)
        if self._weights in ('W4', 'W8') and plain.cols % _GROUP == 0 and not ours.endswith(_KEPT):
            return eight_bits(values, _GROUP)
        return plain.in_16_bits()


def _with_rows(values: Values, count: int) -> Values:
    """Return values [n, …], padded with zeros to `count` rows."""
    return np.concatenate([values, np.zeros((count - len(values), *values.shape[1:]), np.float32)])


def _with_heads(matrix: Values, stage: ModelConfig) -> Values:
    """Return a matrix [heads * n, …] with zeros after the n rows of each head, as many as the kernels take."""
    heads, cols = stage.heads, matrix.shape[1]
    padded = np.zeros((heads, stage.head_dim, cols), np.float32)
    rows = matrix.reshape(heads, -1, cols)
    padded[:, :rows.shape[1]] = rows
    return padded.reshape(-1, cols)
