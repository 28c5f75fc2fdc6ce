# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
An image as the tiles that an encoder takes: resized, cut and normalized as transformers' processors do.

transformers resizes with Pillow; so does this, number by number.
"""

from __future__ import annotations

from dataclasses import dataclass
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from tinychat_core.checkpoint.vision_config import Pixeling
from tinychat_core.vision.image import Rgb

_MOST = 4096  # pixels of an edge, which transformers' Idefics 3 never exceeds


@dataclass(frozen=True)
class Tiles:
    """Tiles float32 [n, 3, tile, tile] of `rows` x `columns` parts, and the whole image as the last; 0 x 0: only it."""

    pixels: npt.NDArray[np.float32]
    rows: int = 0
    columns: int = 0


def grid(config: Pixeling, width: int, height: int) -> tuple[int, int]:
    """Return in how many rows and columns an image of this size is cut; (0, 0) if it is one tile."""
    if config.method != 'split' or config.longest_edge is None:
        return 0, 0
    width, height = _whole_tiles(*_scaled(width, height, config.longest_edge), config.tile)
    rows, columns = height // config.tile, width // config.tile
    return (0, 0) if rows == columns == 1 else (rows, columns)


def tiles_of(config: Pixeling, image: Rgb) -> Tiles:
    """Return the tiles of an image uint8 [height, width, 3]."""
    from PIL import Image as pillow

    filter_ = {'bilinear': pillow.Resampling.BILINEAR, 'bicubic': pillow.Resampling.BICUBIC,
               'lanczos': pillow.Resampling.LANCZOS}[config.resample]
    picture, tile = pillow.fromarray(np.ascontiguousarray(image)), config.tile
    height, width = image.shape[:2]
    rows, columns = grid(config, width, height)
    if config.method == 'crop':
        return Tiles(_normalized(config, [_cropped(picture, tile, filter_)]))
    if config.longest_edge is not None:
        width, height = _scaled(width, height, config.longest_edge)
        picture = picture.resize((width, height), filter_)
    if config.method == 'split':
        picture = picture.resize(_whole_tiles(width, height, tile), filter_)
    parts = [picture.crop((column * tile, row * tile, (column + 1) * tile, (row + 1) * tile))
             for row in range(rows) for column in range(columns)]
    whole = picture if picture.size == (tile, tile) else picture.resize((tile, tile), filter_)
    return Tiles(_normalized(config, [*parts, whole]), rows, columns)


def _normalized(config: Pixeling, parts: list[Any]) -> npt.NDArray[np.float32]:
    bytes_ = np.stack([np.moveaxis(np.asarray(part), -1, 0) for part in parts])
    mean, std = (np.array(numbers, np.float32)[:, None, None] for numbers in (config.mean, config.std))
    values: npt.NDArray[np.float32] = (bytes_.astype(np.float32) * np.float32(config.rescale) - mean) / std
    return values


def _cropped(picture: Any, tile: int, filter_: Any) -> Any:
    """Resize the shorter edge to `tile`, and take the center."""
    width, height = picture.size
    short, long = min(width, height), max(width, height)
    longer = int(tile * long / short)
    picture = picture.resize((tile, longer) if width <= height else (longer, tile), filter_)
    left, top = (picture.size[0] - tile) // 2, (picture.size[1] - tile) // 2
    return picture.crop((left, top, left + tile, top + tile))


def _scaled(width: int, height: int, longest: int) -> tuple[int, int]:
    """Return the size with this longer edge; the shorter one is even."""
    ratio = width / height
    if width >= height:
        width, height = longest, int(longest / ratio)
        height += height % 2
    else:
        width, height = int(longest * ratio), longest
        width += width % 2
    width, height = max(width, 1), max(height, 1)
    ratio = width / height
    if width >= height and width > _MOST:
        width, height = _MOST, int(_MOST / ratio)
    elif height > width and height > _MOST:
        width, height = int(_MOST * ratio), _MOST
    return max(width, 1), max(height, 1)


def _whole_tiles(width: int, height: int, tile: int) -> tuple[int, int]:
    """Return the size in whole tiles, the longer edge rounded up first."""
    ratio = width / height
    if width >= height:
        width = math.ceil(width / tile) * tile
        height = math.ceil(int(width / ratio) / tile) * tile
    else:
        height = math.ceil(height / tile) * tile
        width = math.ceil(int(height * ratio) / tile) * tile
    return width, height
