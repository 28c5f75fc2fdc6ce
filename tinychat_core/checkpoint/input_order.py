# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""
The permutation of a matrix's input, where its columns are not in the order of the input (GPTQ's desc_act).

In a checkpoint, columns that share a scale are adjacent. GPTQ may group them by the size of the activations, from
anywhere in the input: then column j of the matrix multiplies element `columns[j]` of the input. Stacked matrices (q, k
and v) may each have their own order, so there is one per block of rows.

A checkpoint stores the vector MATRIX.input_order: for each block its number of rows, then its columns. They are
integers stored as float32, like all vectors, which is exact up to 2^24.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

TILE = 16  # rows; kernels process whole tiles, so a block must end with one


@dataclass(frozen=True)
class InputOrder:
    """Block i has `rows[i]` consecutive rows with the order `columns[i]`; columns is [blocks, cols]."""

    rows: tuple[int, ...]
    columns: npt.NDArray[np.int32]

    @classmethod
    def of(cls, columns: Array, rows: int) -> InputOrder:
        """Return the order of a matrix with a single block."""
        return cls((rows,), columns.astype(np.int32)[None])

    @classmethod
    def joined(cls, orders: Sequence[InputOrder | None], rows: Sequence[int], cols: int) -> InputOrder | None:
        """Return the order of stacked matrices; None where none of them has one."""
        if all(order is None for order in orders):
            return None
        blocks: list[tuple[int, Array]] = []
        for order, count in zip(orders, rows, strict=True):
            own = order or cls.of(np.arange(cols), count)
            for more, columns in zip(own.rows, own.columns, strict=True):
                if blocks and np.array_equal(blocks[-1][1], columns):
                    blocks[-1] = (blocks[-1][0] + more, columns)
                else:
                    blocks.append((more, columns))
        return cls(tuple(count for count, _ in blocks), np.stack([columns for _, columns in blocks]))

    @classmethod
    def read(cls, vector: Array, rows: int, cols: int) -> InputOrder:
        """Return the order stored in `vector`; ValueError where it does not fit a matrix [rows, cols]."""
        if vector.size == 0 or vector.size % (1 + cols) or not (vector == np.floor(vector)).all():
            raise ValueError('it is not a list of columns')
        blocks = vector.reshape(-1, 1 + cols)
        if not (blocks[:, 0] >= 1).all() or blocks[:, 0].sum() != rows or (blocks[:-1, 0] % TILE).any():
            raise ValueError(f'its blocks are not the {rows} rows')
        if not np.array_equal(np.sort(blocks[:, 1:], axis=1), np.broadcast_to(np.arange(cols), blocks[:, 1:].shape)):
            raise ValueError(f'it does not name each of {cols} columns once')
        return cls(tuple(int(count) for count in blocks[:, 0]), blocks[:, 1:].astype(np.int32))

    def stored(self) -> npt.NDArray[np.float32]:
        """Return the vector that `read` reads."""
        counts = np.asarray(self.rows, dtype=np.float32)[:, None]
        return np.concatenate([counts, self.columns.astype(np.float32)], axis=1).reshape(-1)

    def in_input_order(self, values: Array) -> Array:
        """Return a matrix [rows, cols] with its columns permuted back to the order of the input."""
        found, first = np.empty_like(values), 0
        for count, columns in zip(self.rows, self.columns, strict=True):
            found[first:first + count, columns] = values[first:first + count]
            first += count
        return found

    def take(self, rows: Array) -> InputOrder:
        """Return the order of the given rows; ValueError where they mix blocks."""
        if len(self.rows) == 1:
            return InputOrder((len(rows),), self.columns)
        block = np.searchsorted(np.cumsum(self.rows), rows, side='right')
        if (np.diff(block) < 0).any():
            raise ValueError('it mixes rows with different input orders')
        there, counts = np.unique(block, return_counts=True)
        return InputOrder(tuple(int(count) for count in counts), self.columns[there])
