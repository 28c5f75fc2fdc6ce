# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Cases of docs/accepted-files.md: GGUF files."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from plain_gguf import Tensor
import tiny_llama

Case = Callable[[Path], Sequence[str]]


def kind(name: str, **kinds: str) -> Case:
    """Return a file whose matrices have a type; those whose name contains a key another one."""
    return tensors(lambda: tiny_llama.tensors(name, kinds))


def tensors(make: Callable[[], dict[str, Tensor]], **changes: Any) -> Case:
    def case(tmp_path: Path) -> Sequence[str]:
        return [str(tiny_llama.save(tmp_path / 'tiny.gguf', tiny_llama.interleaved(make()), **changes))]

    return case


def keys(**changes: Any) -> Case:
    """Return a file with some metadata changed, `__` for a dot."""
    return tensors(tiny_llama.tensors, **changes)


def one_matrix(name: str) -> Case:
    """Return a file with one matrix of a type of 256 columns a block: its down projection is made wide enough."""
    return tensors(lambda: tiny_llama.tensors('Q4_0', {'ffn_down': name}, inner=256), llama__feed_forward_length=256)


CASES: dict[str, list[Case]] = {
    'matrices of Q4_0, Q4_1, Q5_0, Q8_0, F16 or BF16':
        [kind(name) for name in ('Q4_0', 'Q4_1', 'Q5_0', 'Q8_0', 'F16', 'BF16')],
    'Q4_K': [one_matrix('Q4_K')],
    'Q2_K, Q3_K, Q5_1, Q5_K, Q6_K': [one_matrix(name) for name in ('Q2_K', 'Q3_K', 'Q5_1', 'Q5_K', 'Q6_K')],
    'another architecture': [keys(general__architecture='mamba')],
}
