# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Computes the number of tiles and embeddings of an image from its size, as transformers' processors do."""

from __future__ import annotations

from collections.abc import Sequence
import math

from tinychat_core.checkpoint.vision_config import Pixeling, VisionConfig

_MOST = 4096  # pixels of an edge, which transformers' Idefics 3 never exceeds


def grid(config: Pixeling, width: int, height: int) -> tuple[int, int]:
    """Return the rows and columns of tiles of an image of this size; (0, 0) if it is a single tile."""
    if config.method == 'pad':
        best_height, best_width = best_size(config.sizes, width, height)
        return best_height // config.tile, best_width // config.tile
    if config.method == 'native':
        return _native_grid(config, width, height)
    if config.method == 'fill':
        rows, columns = _most_similar(config, width, height)
    elif config.method == 'split' and config.longest_edge is not None:
        width, height = whole_tiles(*scaled(width, height, config.longest_edge), config.tile)
        rows, columns = height // config.tile, width // config.tile
    else:
        return 0, 0
    return (0, 0) if rows == columns == 1 else (rows, columns)


def row_count(config: VisionConfig, width: int, height: int) -> int:
    """Return how many embeddings an image of this size has."""
    rows, columns = grid(config.pixels, width, height)
    if config.pixels.method == 'native':
        return rows * columns
    if config.pixels.method != 'pad':
        return (rows * columns + 1) * config.tile_rows
    top, left = padding(config, width, height)
    side = config.pixels.side // config.merge
    return config.tile_rows + (rows * side - 2 * top) * (columns * side - 2 * left + 1)


def padding(config: VisionConfig, width: int, height: int) -> tuple[int, int]:
    """Return how many rows of embeddings (above and below) and columns (on both sides) show padding of `pad`."""
    rows, columns = grid(config.pixels, width, height)
    side = config.pixels.side // config.merge
    lines, line = rows * side, columns * side
    if width / height > line / lines:
        return (lines - int(round(height * (line / width), 7))) // 2, 0
    return 0, (line - int(round(width * (lines / height), 7))) // 2


def best_size(sizes: Sequence[Sequence[int]], width: int, height: int) -> tuple[int, int]:
    """Return the [height, width] that keeps the most pixels of an image; among equals, it wastes the fewest."""
    def fit(size: Sequence[int]) -> tuple[int, int]:
        scale = min(size[1] / width, size[0] / height)
        kept = min(int(width * scale) * int(height * scale), width * height)
        return kept, kept - size[0] * size[1]

    best = max(sizes, key=fit)
    return best[0], best[1]


def _most_similar(config: Pixeling, width: int, height: int) -> tuple[int, int]:
    """Return the rows and columns with the most similar ratio; among equals, more if the image has the pixels."""
    counts = range(1, config.most_tiles + 1)
    grids = sorted(((columns, rows) for columns in counts for rows in counts
                    if config.fewest_tiles <= rows * columns <= config.most_tiles), key=lambda each: each[0] * each[1])
    best, least, area = (1, 1), math.inf, width * height
    for columns, rows in grids:
        difference = abs(width / height - columns / rows)
        if difference < least or (difference == least and area > 0.5 * config.tile ** 2 * columns * rows):
            best, least = (rows, columns), difference
    return best


def _native_grid(config: Pixeling, width: int, height: int) -> tuple[int, int]:
    """Return the rows and columns of tiles, as transformers' `smart_resize` does."""
    assert config.min_pixels is not None and config.max_pixels is not None
    tile, area = config.tile, width * height
    rows, columns = round(height / tile), round(width / tile)  # halves to the even number
    if rows * columns * tile ** 2 > config.max_pixels:
        shrink = math.sqrt(area / config.max_pixels)
        return max(1, math.floor(height / shrink / tile)), max(1, math.floor(width / shrink / tile))
    if rows * columns * tile ** 2 < config.min_pixels:
        grow = math.sqrt(config.min_pixels / area)
        return math.ceil(height * grow / tile), math.ceil(width * grow / tile)
    return rows, columns


def scaled(width: int, height: int, longest: int) -> tuple[int, int]:
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


def whole_tiles(width: int, height: int, tile: int) -> tuple[int, int]:
    """Return the size in whole tiles, the longer edge rounded up first."""
    ratio = width / height
    if width >= height:
        width = math.ceil(width / tile) * tile
        height = math.ceil(int(width / ratio) / tile) * tile
    else:
        height = math.ceil(height / tile) * tile
        width = math.ceil(int(height * ratio) / tile) * tile
    return width, height
