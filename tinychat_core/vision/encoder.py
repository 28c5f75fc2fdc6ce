# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""The encoder and the projector of a model: tiles of an image to the embeddings that stand in a prompt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tinychat_core._tinychat import CancelFlag, Decoder, ForwardBatch
from tinychat_core.checkpoint.model_config import Activation
from tinychat_core.checkpoint.vision_config import VisionConfig
from tinychat_core.errors import UnsupportedModelError
from tinychat_core.vision.image import Image
from tinychat_core.vision.sizes import padding
from tinychat_core.vision.tiles import tiles_of

Rows = npt.NDArray[np.float32]
_PREFIX = 'vision.'


class VisionEncoder:
    """
    The stages of VisionConfig, each a native decoder that reads the weights in place.

    Safe to use from several threads: each native decoder computes one batch at a time.
    """

    def __init__(self, config: VisionConfig, tensors: Mapping[str, Any],
                 new_decoder: Callable[[dict[str, Any], dict[str, Any], int], Decoder]) -> None:
        """
        Build the stages over `tensors`, all of the checkpoint.

        `new_decoder` returns a decoder for a native configuration, its tensors and the length of its longest sequence.
        """
        self.config = config
        self._newline: Rows | None = tensors.get(f'{_PREFIX}newline')
        if (self._newline is not None) != (config.pixels.method == 'pad'):
            raise ValueError(f'the tensor {_PREFIX}newline does not fit the method {config.pixels.method}')
        self._decoders: dict[str, Decoder] = {}
        for name, stage in config.stages.items():
            prefix = f'{_PREFIX}{name}.'
            own = {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}
            longest = config.pixels.side ** 2 + config.has_class
            self._decoders[name] = new_decoder(stage.to_native(longest), own, longest)

    def encode(self, image: Image, cancel: CancelFlag | None = None) -> Rows:
        """
        Return the embeddings [rows, width] of an image; Canceled once `cancel` is set.

        They come tile after tile; with the method `pad` the whole image, then the lines of all tiles together.
        """
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
        rows = self._merged(rows[1:] if config.has_class else rows)
        for i in range(len(config.projector)):
            if i and config.projector[i - 1].embedding_size is not None:
                rows = _activated(rows, config.activation)
            rows = self._run(f'projector.{i}', rows, cancel)
        return rows

    def close(self) -> None:
        """Release the decoders."""
        self._decoders.clear()

    def _patches(self, tile: Rows) -> Rows:
        """
        Return the numbers of each patch, by color, then by row; zeros fill up the columns of the first matrix.

        Where a class comes before the patches, two columns follow, in which the importer stores the class's embedding
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

    def _run(self, stage: str, rows: Rows, cancel: CancelFlag | None) -> Rows:
        batch = ForwardBatch()
        batch.add_sequence(np.full(len(rows), -1), None, embeddings=np.ascontiguousarray(rows, np.float32),
                           logits='all')
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
