# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Images that nearly keep their size, for Qwen2-VL (Wang et al., 2024) and its successors.

An image is resized to whole tiles. A tile is the square of patches that becomes one embedding. Patches are ordered tile
by tile, and row by row within a tile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tinychat_core.checkpoint.vision_config import VisionConfig
from tinychat_core.vision.image import Rgb
from tinychat_core.vision.sizes import grid

Floats = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]


def patches_of(config: VisionConfig, image: Rgb) -> tuple[Floats, int, int]:
    """Return the pixel values [patches, patch_width] of an image uint8 [height, width, 3], and its rows and columns."""
    from PIL import Image as pillow

    pixels, patch = config.pixels, config.pixels.patch
    rows, columns = grid(pixels, image.shape[1], image.shape[0])
    filter_: Any = pillow.Resampling[pixels.resample.upper()]
    picture = pillow.fromarray(np.ascontiguousarray(image)).resize((columns * pixels.tile, rows * pixels.tile), filter_)
    mean, std = (np.array(numbers, np.float32) for numbers in (pixels.mean, pixels.std))
    values = (np.asarray(picture).astype(np.float32) * np.float32(pixels.rescale) - mean) / std
    side = pixels.side
    cut = values.reshape(rows, side, patch, columns, side, patch, 3).transpose(0, 3, 1, 4, 6, 2, 5)
    frames = np.broadcast_to(cut[:, :, :, :, :, None], (*cut.shape[:5], config.frames, patch, patch))
    return frames.reshape(rows * columns * side ** 2, config.patch_width), rows, columns


def patch_places(rows: int, columns: int, side: int) -> Numbers:
    """Return the row and the column [patches, 2] of each patch, for tiles of `side` x `side` patches."""
    places = np.moveaxis(np.mgrid[:rows * side, :columns * side], 0, -1)
    return places.reshape(rows, side, columns, side, 2).transpose(0, 2, 1, 3, 4).reshape(-1, 2)


@dataclass(frozen=True)
class Windows:
    """The order [tiles] that groups the tiles by window, and the number of tiles in each window."""

    order: Numbers
    sizes: Numbers


def windows_of(rows: int, columns: int, window: int) -> Windows:
    """Return the windows of `window` x `window` tiles, row by row; the last of a row or a column may be smaller."""
    row, column = np.divmod(np.arange(rows * columns), columns)
    number = row // window * -(-columns // window) + column // window
    return Windows(np.argsort(number, kind='stable'), np.bincount(number))


def interpolated(table: Floats, rows: int, columns: int, side: int) -> Floats:
    """
    Return the learned positions [patches, width] of an image's patches: a square table [n, n, width], interpolated.

    Bilinear; the corners of the table and of the image coincide.
    """
    n = len(table)

    def along(count: int) -> tuple[Numbers, Numbers, Floats]:
        at = np.arange(count, dtype=np.float32) * np.float32(n - 1) / np.float32(max(count - 1, 1))
        before = np.floor(at).astype(np.int64)
        return before, np.minimum(before + 1, n - 1), at - before.astype(np.float32)

    places = patch_places(rows, columns, side)
    (above, below, down), (left, right, across) = (
        tuple(values[places[:, axis]] for values in along(count * side)) for axis, count in enumerate((rows, columns)))
    down, across = down[:, None], across[:, None]
    found: Floats = (table[above, left] * ((1 - down) * (1 - across)) + table[above, right] * ((1 - down) * across) +
                     table[below, left] * (down * (1 - across)) + table[below, right] * (down * across))
    return found


def token_positions(rows: int, columns: int) -> Numbers:
    """Return the positions [tiles, 3] of an image's embeddings in the language model, relative to its first one."""
    places = np.moveaxis(np.mgrid[:rows, :columns], 0, -1).reshape(-1, 2)
    return np.concatenate([np.zeros((len(places), 1), np.int64), places], axis=1)
