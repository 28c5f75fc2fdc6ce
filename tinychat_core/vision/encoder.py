# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The encoder and the projector of a model: tiles of an image to the embeddings that stand in a prompt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from tinychat_core._tinychat import CancelFlag, Decoder, ForwardBatch
from tinychat_core.checkpoint.model_config import Activation, ModelConfig
from tinychat_core.checkpoint.vision_config import VisionConfig
from tinychat_core.errors import UnsupportedModelError
from tinychat_core.vision.image import Image
from tinychat_core.vision.native_size import interpolated, patch_places, patches_of, windows_of
from tinychat_core.vision.sizes import padding
from tinychat_core.vision.tiles import tiles_of

Rows = npt.NDArray[np.float32]
_PREFIX = 'vision.'
_ROWS_AT_ONCE = 256  # of a stage without attention: as many as every backend has buffers for


class VisionEncoder:
    """
    The stages of VisionConfig, each a native decoder that reads the weights in place.

    Safe to use from several threads: each native decoder computes one batch at a time.
    """

    def __init__(self, config: VisionConfig, tensors: Mapping[str, Any],
                 new_decoder: Callable[[dict[str, Any], dict[str, Any], int], Decoder],
                 most_rows: int = 1 << 30) -> None:
        """
        Build the stages over `tensors`, all of the checkpoint.

        `new_decoder` returns a decoder for a native configuration, its tensors and the length of its longest sequence.
        `most_rows`: embeddings of the largest image that is encoded.
        """
        self.config = config
        self._newline: Rows | None = tensors.get(f'{_PREFIX}newline')
        if (self._newline is not None) != (config.pixels.method == 'pad'):
            raise ValueError(f'the tensor {_PREFIX}newline does not fit the method {config.pixels.method}')
        self._grid: Rows | None = None
        if config.grid is not None:
            self._grid = tensors[f'{_PREFIX}grid'].reshape(config.grid, config.grid, -1)
        self._decoders: dict[str, Decoder] = {}
        longest = config.longest_sequence(most_rows)
        for name, stage in config.stages.items():
            prefix = f'{_PREFIX}{name}.'
            own = {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}
            self._decoders[name] = new_decoder(stage.to_native(longest), own, longest)

    def encode(self, image: Image, cancel: CancelFlag | None = None) -> Rows:
        """
        Return the embeddings [rows, width] of an image; Canceled once `cancel` is set.

        They are ordered tile by tile. With the method `pad`, the whole image comes first, then the lines across all
        tiles.
        """
        if self.config.pixels.method == 'native':
            return self._encode_native(image, cancel)
        tiles = tiles_of(self.config.pixels, image.pixels)
        rows = [self.encode_tile(tile, cancel) for tile in tiles.pixels]
        if self._newline is None:
            return np.concatenate(rows)
        height, width = image.pixels.shape[:2]
        top, left = padding(self.config, width, height)
        side, elements = self.config.pixels.side // self.config.merge, self.config.width
        joined = np.reshape(rows[1:], (tiles.rows, tiles.columns, side, side, elements)).transpose(0, 2, 1, 3, 4)
        lines = joined.reshape(tiles.rows * side, tiles.columns * side, elements)
        lines = lines[top:len(lines) - top, left:lines.shape[1] - left]
        ends = np.broadcast_to(self._newline, (len(lines), 1, elements))
        return np.concatenate([rows[0], np.concatenate([lines, ends], axis=1).reshape(-1, elements)])

    def encode_tile(self, tile: Rows, cancel: CancelFlag | None = None) -> Rows:
        """Return the embeddings [tile_rows, width] of a tile [3, height, width]."""
        config = self.config
        rows = self._patches(tile)
        if config.stem is not None:
            rows = self._run('stem', rows, cancel)
        rows = self._run('encoder', rows, cancel)
        merged = self._merged(rows[1:] if config.has_class else rows)
        return self._projected('projector', config.projector, merged, cancel)

    def _projected(self, name: str, stages: Sequence[ModelConfig], rows: Rows, cancel: CancelFlag | None) -> Rows:
        for i in range(len(stages)):
            if i and stages[i - 1].embedding_size is not None:
                rows = _activated(rows, self.config.activation)
            rows = self._run_in_parts(f'{name}.{i}', rows, cancel)
        return rows

    def _encode_native(self, image: Image, cancel: CancelFlag | None) -> Rows:
        config, side = self.config, self.config.pixels.side
        numbers, rows, columns = patches_of(config, image.pixels)
        tiles, per_tile = rows * columns, side ** 2
        columns_in = (config.stem or config.encoder).embedding_width
        values = np.zeros((len(numbers), columns_in), np.float32)
        values[:, :config.patch_width] = numbers
        if config.stem is not None:
            values = self._run_in_parts('stem', values, cancel)
        if self._grid is not None:
            values = values + interpolated(self._grid, rows, columns, side)
        positions = np.zeros((len(values), 3), np.int64)
        positions[:, 1:] = patch_places(rows, columns, side)
        order, spans = np.arange(tiles), list[tuple[int, int]]()
        if config.window is not None:
            windows = windows_of(rows, columns, config.window)
            order, ends = windows.order, np.cumsum(windows.sizes) * per_tile
            spans = list(pairwise([0, *ends.tolist()]))
        patches = (order[:, None] * per_tile + np.arange(per_tile)).reshape(-1)
        found = self._run('encoder', values[patches], cancel, positions=positions[patches], bidirectional=spans)
        last, *others = np.split(found, found.shape[1] // config.encoder.hidden_size, axis=1)
        parts = [self._projected('projector', config.projector, last.reshape(tiles, -1), cancel)]
        parts += [self._projected(f'deepstack.{j}', config.deepstack[j], rows_of_layer.reshape(tiles, -1), cancel)
                  for j, rows_of_layer in enumerate(others)]
        embeddings = np.empty((tiles, config.width), np.float32)
        embeddings[order] = np.concatenate(parts, axis=1)
        return embeddings

    def close(self) -> None:
        """Release the decoders."""
        self._decoders.clear()

    def _patches(self, tile: Rows) -> Rows:
        """
        Return the numbers of each patch, by color, then by row; zeros fill up the columns of the first matrix.

        If a class precedes the patches, two columns follow, in which the importer stores the class's embedding
        and the patches' bias: a 1 selects one of them.
        """
        config = self.config
        side, patch = config.pixels.side, config.pixels.patch
        columns = (config.stem or config.encoder).embedding_width
        rows = np.zeros((side * side + config.has_class, columns), np.float32)
        cut = tile.reshape(3, side, patch, side, patch).transpose(1, 3, 0, 2, 4)
        rows[int(config.has_class):, :3 * patch * patch] = cut.reshape(side * side, -1)
        if config.has_class:
            rows[0, 3 * patch * patch] = 1
            rows[1:, 3 * patch * patch + 1] = 1
        return rows

    def _merged(self, rows: Rows) -> Rows:
        """Join the rows of neighbouring patches."""
        merge, side = self.config.merge, self.config.pixels.side
        if merge == 1:
            return rows
        width = rows.shape[1]
        square = rows.reshape(side // merge, merge, side // merge, merge, width)
        if self.config.merging == 'mean':
            return square.mean(axis=(1, 3), dtype=np.float32).reshape(-1, width)
        return square.transpose(0, 2, 1, 3, 4).reshape(-1, merge * merge * width)

    def _run_in_parts(self, stage: str, rows: Rows, cancel: CancelFlag | None) -> Rows:
        """Return the outputs of a stage without layers and positions; its buffers do not grow."""
        return np.concatenate([self._run(stage, rows[begin:begin + _ROWS_AT_ONCE], cancel)
                               for begin in range(0, len(rows), _ROWS_AT_ONCE)])

    def _run(self, stage: str, rows: Rows, cancel: CancelFlag | None, **more: Any) -> Rows:
        batch = ForwardBatch()
        batch.add_sequence(np.full(len(rows), -1), None, embeddings=np.ascontiguousarray(rows, np.float32),
                           logits='all', **more)
        return self._decoders[stage].forward(batch, cancel).logits


def _activated(rows: Rows, activation: Activation | None) -> Rows:
    """Return the activation of each number."""
    if activation is None:
        return rows
    if activation == 'gelu':
        return (0.5 * rows * (1 + _erf(rows / np.sqrt(2)))).astype(np.float32)
    if activation == 'gelu_tanh':
        inner = np.float32(np.sqrt(2 / np.pi)) * (rows + np.float32(0.044715) * rows ** 3)
        return np.float32(0.5) * rows * (1 + np.tanh(inner))
    raise UnsupportedModelError(f'the activation {activation} of a projector is not supported')


def _erf(x: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return the error function, to 1.5e-7 (Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26)."""
    t = 1 / (1 + 0.3275911 * np.abs(x.astype(np.float64)))
    powers = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    values: npt.NDArray[np.float64] = np.sign(x) * (1 - powers * np.exp(-x.astype(np.float64) ** 2))
    return values
