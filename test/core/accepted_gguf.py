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
    'metadata at a value that changes nothing': [
        keys(llama__rope__scale_linear=1.0), keys(llama__pooling_type=0), keys(llama__attention__head_count_kv=[1, 1]),
        keys(llama__rope__scaling__attn_factor=1.0), keys(llama__attention__sliding_window=0)],
    'a factor of the rope without a type': [keys(llama__rope__scaling__factor=4.0)],
    'a model for embeddings': [keys(llama__pooling_type=3)],
    'metadata that changes the model and has no place here': [
        keys(llama__attention__clamp_kqv=8.0), keys(llama__attention__head_count_kv=[1, 3])],
    'more decoder layers than tensors': [keys(llama__block_count=10**6), keys(llama__block_count=2**32 - 1)],
    'an adapter, a projector': [keys(general__type='adapter'), keys(general__type='mmproj')],
    'another architecture': [keys(general__architecture='mamba')],
}
