# Copyright 2026 The TinyChat for ROS 2 authors
# SPDX-License-Identifier: Apache-2.0
"""Cases of docs/accepted-files.md: where the weights of a Hugging Face directory are, and in which type."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import small_huggingface as small
import torch

Case = Callable[[Path], Sequence[str]]


def directory(dtype: torch.dtype = torch.float16, shards: int = 1,
              change: Callable[[Path], None] = lambda _: None) -> Case:
    """Return a directory in a type and a number of shards, after a change."""
    def case(tmp_path: Path) -> Sequence[str]:
        made = small.save(tmp_path / 'theirs', small.tensors(dtype), shards=shards)
        change(made)
        return [str(made)]

    return case


def typed(dtype: torch.dtype, stored: torch.dtype) -> Case:
    """Return a directory with numbers of one type, stored in another."""
    def case(tmp_path: Path) -> Sequence[str]:
        return [str(small.save(tmp_path / 'theirs', {
            name: tensor.to(stored) for name, tensor in small.tensors(dtype).items()}))]

    return case


def renamed(old: str, new: str) -> Callable[[Path], None]:
    def change(made: Path) -> None:
        (made / old).rename(made / new)

    return change


CASES: dict[str, list[Case]] = {
    '`model.safetensors` in F16 or BF16': [directory(), directory(torch.bfloat16)],
    'F32 or F64, whose numbers 16 bits hold': [
        typed(torch.float16, torch.float32), typed(torch.bfloat16, torch.float64)],
    'other matrices of F32': [directory(torch.float32)],
    'F8_E4M3, I8 and other types without a `quantization_config`': [
        typed(torch.float16, torch.float8_e4m3fn), typed(torch.float16, torch.int8)],
    'shards with `model.safetensors.index.json`': [directory(shards=3)],
    'weights only in `pytorch_model.bin`': [directory(change=renamed('model.safetensors', 'pytorch_model.bin'))],
}
