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
from tinychat_core.vision.sizes import best_size, grid, scaled, whole_tiles


@dataclass(frozen=True)
class Tiles:
    """
    Tiles float32 [n, 3, tile, tile]: the parts of `rows` x `columns`, and the whole image; 0 x 0: only the whole image.

    The whole image is the last tile, and with the method `pad` the first.
    """

    pixels: npt.NDArray[np.float32]
    rows: int = 0
    columns: int = 0


def tiles_of(config: Pixeling, image: Rgb) -> Tiles:
    """Return the tiles of an image uint8 [height, width, 3]."""
    from PIL import Image as pillow

    filter_ = pillow.Resampling[config.resample.upper()]
    picture, tile = pillow.fromarray(np.ascontiguousarray(image)), config.tile
    height, width = image.shape[:2]
    rows, columns = grid(config, width, height)
    if config.method == 'crop':
        return Tiles(_normalized(config, [_cropped(picture, tile, filter_)]))
    if config.method == 'pad':
        parts = _parts(_padded(picture, *best_size(config.sizes, width, height), filter_), rows, columns, tile)
        return Tiles(_normalized(config, [picture.resize((tile, tile), filter_), *parts]), rows, columns)
    if config.method == 'fill':
        larger = picture.resize((columns * tile, rows * tile), filter_) if rows else picture
        parts = _parts(larger, rows, columns, tile)
        return Tiles(_normalized(config, [*parts, picture.resize((tile, tile), filter_)]), rows, columns)
    if config.longest_edge is not None:
        width, height = scaled(width, height, config.longest_edge)
        picture = picture.resize((width, height), filter_)
    if config.method == 'split':
        picture = picture.resize(whole_tiles(width, height, tile), filter_)
    parts = _parts(picture, rows, columns, tile)
    whole = picture if picture.size == (tile, tile) else picture.resize((tile, tile), filter_)
    return Tiles(_normalized(config, [*parts, whole]), rows, columns)


def _parts(picture: Any, rows: int, columns: int, tile: int) -> list[Any]:
    """Return the tiles of a picture, row by row."""
    return [picture.crop((column * tile, row * tile, (column + 1) * tile, (row + 1) * tile))
            for row in range(rows) for column in range(columns)]


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


def _padded(picture: Any, height: int, width: int, filter_: Any) -> Any:
    """Resize to fit a size, keep the ratio, and pad both sides with black."""
    own_width, own_height = picture.size
    by_width, by_height = width / own_width, height / own_height
    if by_width < by_height:
        new_width, new_height = width, min(math.ceil(own_height * by_width), height)
    else:
        new_width, new_height = min(math.ceil(own_width * by_height), width), height
    left, top = (width - new_width) // 2, (height - new_height) // 2
    return picture.resize((new_width, new_height), filter_).crop((-left, -top, width - left, height - top))
