# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
Images among the tokens of a prompt.

A prompt stays a list of integers: an id of the vocabulary, or FIRST_ROW and above for a row of an image's embeddings.
An image keeps its numbers for as long as the process runs, by its content: so everything that compares prompts, such as
the prefixes of KV caches, also compares images, without knowing of them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from threading import Lock
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt

from tinychat_core._tinychat import Cache, CancelFlag
from tinychat_core.checkpoint.vision_config import EMBEDDING_CACHE_BYTES, VisionConfig
from tinychat_core.errors import InvalidParameterError
from tinychat_core.vision.encoder import VisionEncoder
from tinychat_core.vision.image import Image
from tinychat_core.vision.native_size import token_positions
from tinychat_core.vision.sizes import grid, row_count

FIRST_ROW = 1 << 40
FIRST_UNCUT_ROW = 1 << 62  # from here on: rows that attend to each other in both directions and are computed together
_ROW_BITS = 20  # of a number: the row in its image
_KEPT_NUMBERS = 10_000  # images that keep their numbers when their embeddings are gone


@dataclass(frozen=True, eq=False)
class ImageRows:
    """
    The embeddings float32 [n, width] of an image, whose rows are the numbers `first`, `first` + 1, … of a prompt.

    The chat template writes `marker`; `text` replaces it, and has `token` once for each row. `grid`: rows and columns
    of an image whose embeddings have positions of three axes (M-RoPE).
    """

    rows: npt.NDArray[np.float32]
    first: int
    marker: str
    token: str
    text: str
    grid: tuple[int, int] | None = None

    @property
    def numbers(self) -> range:
        """What stands in a prompt."""
        return range(self.first, self.first + len(self.rows))


class ImageStore:
    """
    Encodes images, once each; safe to use from several threads.

    Embeddings stay as long as somebody holds their ImageRows; beyond that, up to EMBEDDING_CACHE_BYTES of the latest.
    """

    def __init__(self, encoder: VisionEncoder, kept_bytes: int = EMBEDDING_CACHE_BYTES) -> None:
        """Start empty."""
        self._encoder = encoder
        self._kept_bytes = kept_bytes
        self._lock = Lock()
        self._kept: OrderedDict[bytes, ImageRows] = OrderedDict()  # by key; the most recently used one is last
        self._firsts: OrderedDict[bytes, int] = OrderedDict()
        self._next = FIRST_UNCUT_ROW if self.config.sees_both_ways else FIRST_ROW
        self._alive: WeakValueDictionary[int, ImageRows] = WeakValueDictionary()  # by `first`

    @property
    def config(self) -> VisionConfig:
        """How the model sees images."""
        return self._encoder.config

    def count(self, width: int, height: int) -> int:
        """Return how many rows an image of this size has."""
        return row_count(self.config, width, height)

    def encode(self, image: Image, cancel: CancelFlag | None = None) -> ImageRows:
        """Return the rows of an image; encode it only if its embeddings are gone. Canceled once `cancel` is set."""
        with self._lock:
            first = self._first(image.key)
            found = self._alive.get(first)
        if found is None:
            placing = self.config.placing
            found = ImageRows(self._encoder.encode(image, cancel), first, placing.marker, placing.token,
                              self._text(image), self._grid(image))
        with self._lock:
            self._alive[first] = found
            self._kept[image.key] = found
            self._kept.move_to_end(image.key)
            size = sum(kept.rows.nbytes for kept in self._kept.values())
            while size > self._kept_bytes and len(self._kept) > 1:
                size -= self._kept.popitem(last=False)[1].rows.nbytes
        return found

    def inputs(self, tokens: Sequence[int], cache: Cache) -> dict[str, Any]:
        """
        Return the arguments of ForwardBatch.add_sequence that give it a part of a prompt, which `part_end` has cut.

        `cache` holds the tokens before them. Raises InvalidParameterError for a row of an image that is no longer
        stored.
        """
        ids = np.asarray(tokens, np.int64)
        places = np.flatnonzero(ids >= FIRST_ROW)
        if not len(places):
            return {'tokens': ids}
        numbers = ids[places]
        images = {}
        for first in {int(number) >> _ROW_BITS << _ROW_BITS for number in numbers}:
            images[first] = self._alive.get(first)
        rows = []
        for number in numbers.tolist():
            first = number >> _ROW_BITS << _ROW_BITS
            held, row = images[first], number - first
            if held is None or row >= len(held.rows):
                raise InvalidParameterError('the prompt names an image that is not here')
            rows.append(held.rows[row])
        inputs: dict[str, Any] = {'tokens': np.where(ids >= FIRST_ROW, -1, ids), 'embeddings': np.stack(rows)}
        if self.config.sees_both_ways:
            inputs['bidirectional'] = [(places[begin], places[end - 1] + 1) for begin, end in _runs(places, numbers)]
        if self.config.has_positions:
            inputs['positions'] = self._positions(ids, cache)
        return inputs

    def close(self) -> None:
        """Release the embeddings and the encoder."""
        self._kept.clear()
        self._encoder.close()

    def _first(self, key: bytes) -> int:
        first = self._firsts.pop(key, None)
        if first is None:
            first, self._next = self._next, self._next + (1 << _ROW_BITS)
            while len(self._firsts) >= _KEPT_NUMBERS:
                self._firsts.popitem(last=False)
        self._firsts[key] = first
        return first

    def _positions(self, ids: npt.NDArray[np.int64], cache: Cache) -> npt.NDArray[np.int64]:
        """Return the positions [n, 3] of tokens after those of a cache. The cache may end within an image."""
        positions = np.empty((len(ids), 3), np.int64)
        following, i = cache.next_position(cache.length), 0
        while i < len(ids):
            row = int(ids[i]) & ((1 << _ROW_BITS) - 1) if ids[i] >= FIRST_ROW else -1
            if row < 0:
                positions[i], i, following = following, i + 1, following + 1
                continue
            held = self._alive.get(int(ids[i]) - row)
            if held is None or held.grid is None or (row and (i or row > cache.length)):
                raise InvalidParameterError('the prompt has a part of an image that does not follow its beginning')
            begin = cache.next_position(cache.length - row) if row else following
            end = i + 1
            while end < len(ids) and ids[end] == ids[end - 1] + 1 and ids[end] - ids[i] < len(held.rows) - row:
                end += 1
            positions[i:end] = begin + token_positions(*held.grid)[row:row + end - i]
            following, i = max(following, int(positions[i:end].max()) + 1), end
        return positions

    def _grid(self, image: Image) -> tuple[int, int] | None:
        height, width = image.pixels.shape[:2]
        return grid(self.config.pixels, width, height) if self.config.has_positions else None

    def _text(self, image: Image) -> str:
        config, placing = self.config, self.config.placing
        height, width = image.pixels.shape[:2]
        rows, columns = grid(config.pixels, width, height)
        if not rows or not placing.tile:
            return placing.whole.replace('{rows}', placing.token * row_count(config, width, height))
        embeddings = placing.token * config.tile_rows
        tiles = ''.join(''.join(
            placing.tile.replace('{row}', str(row + 1)).replace('{column}', str(column + 1))
            for column in range(columns)) + placing.row_end for row in range(rows))
        return (tiles + placing.overview).replace('{rows}', embeddings)


def _runs(places: npt.NDArray[np.intp], numbers: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
    """Return begin and end, as indices of `places`, of the neighbouring rows of one image."""
    breaks = np.flatnonzero((np.diff(places) != 1) | (np.diff(numbers >> _ROW_BITS) != 0)) + 1
    return list(pairwise([0, *breaks.tolist(), len(places)]))


def part_end(tokens: Sequence[int], begin: int, most: int) -> int:
    """
    Return where the part of a prompt that begins at `begin` ends: after `most` tokens, but not within uncut rows.

    A part is longer than `most` if it begins with a longer run of uncut rows.
    """
    end = min(len(tokens), begin + most)

    def splits(at: int) -> bool:
        return (at < len(tokens) and tokens[at - 1] >= FIRST_UNCUT_ROW and
                tokens[at] >> _ROW_BITS == tokens[at - 1] >> _ROW_BITS)

    cut = end
    while cut > begin and splits(cut):
        cut -= 1
    if cut > begin:
        return cut
    while splits(end):
        end += 1
    return end


def text_ids(tokens: Sequence[int]) -> Sequence[int]:
    """Return the tokens of a prompt without the rows of images."""
    return tokens if max(tokens, default=0) < FIRST_ROW else [token for token in tokens if token < FIRST_ROW]
