# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Times the matrix products of known models on a CUDA device, and compares them with its memory bandwidth."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tinychat_core import _tinychat

# Model -> hidden size, feed-forward size. q, k and v are one matrix of a decoder layer, and gate and up another.
_SIZES = {'llama-2-7b': (4096, 11008), 'llama-2-13b': (5120, 13824), 'llama-30b': (6656, 17920)}
# Format, group size, whether activations are int8.
_FORMATS = (('w4z', 128, False), ('w4m', 32, False), ('w8g', 32, False), ('w8g', 32, True), ('w8c', 0, True),
            ('f16', 0, False))


@dataclass(frozen=True)
class GemmTime:
    """The time of one matrix [rows, cols] times `tokens` columns, as one launch of many in a graph."""

    model: str
    name: str
    format: str             # of the weights
    byte_tokens: bool       # activations are int8
    group_size: int
    rows: int
    cols: int
    tokens: int
    microseconds: float
    gb_per_s: float
    bandwidth_share: float  # of a large copy on the device in the same run
    speed_up: float         # over the same matrix in 16 bits


def matrices(model: str) -> dict[str, tuple[int, int]]:
    """Return the shapes of a decoder layer's matrices, and of `up` alone; KeyError for an unknown model."""
    hidden, inner = _SIZES[model]
    return {'qkv': (3 * hidden, hidden), 'o': (hidden, hidden), 'gate_up': (2 * inner, hidden),
            'up': (inner, hidden), 'down': (hidden, inner)}


def measure_gemms(library: Path, tokens: int = 1) -> Iterator[GemmTime]:
    """Yield the time of each matrix in each format; DeviceError where the device fails."""
    bandwidth = _tinychat.cuda_copy_bandwidth(str(library))
    for model in _SIZES:
        for name, (rows, cols) in matrices(model).items():
            times = {form: _tinychat.cuda_time_gemm(str(library), form[0], rows, cols, form[1], tokens, form[2])
                     for form in _FORMATS}
            whole = times['f16', 0, False][0]
            for (format_, group_size, byte_tokens), (seconds, nbytes) in times.items():
                yield GemmTime(model, name, format_, byte_tokens, group_size, rows, cols, tokens, 1e6 * seconds,
                               nbytes / seconds / 1e9, nbytes / seconds / bandwidth, whole / seconds)


def table(times: Iterator[GemmTime]) -> Iterator[str]:
    """Yield the lines of the table as times are measured."""
    yield (f'{"model":<12} {"matrix":<8} {"rows":>6} {"cols":>6} {"format":>7} {"group":>5} {"tokens":>6} '
           f'{"µs":>9} {"GB/s":>8} {"of a copy":>9} {"over f16":>8}')
    for t in times:
        form = t.format + ('a8' if t.byte_tokens else '')
        yield (f'{t.model:<12} {t.name:<8} {t.rows:6d} {t.cols:6d} {form:>7} {t.group_size or "-":>5} '
               f'{t.tokens:6d} {t.microseconds:9.2f} {t.gb_per_s:8.1f} {t.bandwidth_share:9.0%} {t.speed_up:7.2f}x')
